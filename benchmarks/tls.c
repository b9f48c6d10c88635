/* TLS and HMAC for the load generator, on OpenSSL; see tls.h. */
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#if __has_include(<openssl/ssl.h>)
#include <openssl/hmac.h>
#include <openssl/ssl.h>

/* A struct of our own name is never defined: it is an SSL. */
static SSL *ssl_of(const struct connection *connection)
{
    return (SSL *)connection->tls;
}

void begin_tls(struct connection *connection)
{
    static SSL_CTX *context;
    SSL *ssl;

    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        if (!context)
            fail("OpenSSL: no context");
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    }
    ssl = SSL_new(context);
    if (!ssl || !SSL_set_fd(ssl, connection->fd))
        fail("OpenSSL: no connection");
    SSL_set_connect_state(ssl);
    connection->tls = (struct tls *)ssl;
}

/* Turns what OpenSSL says into what a system call would say. */
static ssize_t outcome(struct connection *connection, int result)
{
    int error = SSL_get_error(ssl_of(connection), result);

    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (error != SSL_ERROR_SYSCALL)
        fail("%s %d: TLS: error %d", connection->kind, connection->number, error);
    return -1;
}

int shake_hands(struct connection *connection)
{
    int result = SSL_do_handshake(ssl_of(connection));

    if (result == 1)
        return 1;
    if (outcome(connection, result) == 0 || errno != EAGAIN)
        fail("%s %d: the TLS handshake failed", connection->kind, connection->number);
    return 0;
}

void end_tls(struct connection *connection)
{
    SSL_free(ssl_of(connection));
    connection->tls = NULL;
}

ssize_t read_tls(struct connection *from, unsigned char *bytes, size_t room)
{
    size_t got = 0;

    while (got < room) {
        int result = SSL_read(ssl_of(from), bytes + got, (int)(room - got));
        if (result <= 0)
            return got ? (ssize_t)got : outcome(from, result);
        got += (size_t)result;
    }
    return (ssize_t)got;
}

ssize_t write_tls(struct connection *to, const unsigned char *bytes, size_t size)
{
    int result = SSL_write(ssl_of(to), bytes, (int)size);

    return result > 0 ? result : outcome(to, result);
}

void sign(const char *secret, const char *text, char signature[SIGNATURE_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;

    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text, strlen(text),
         digest, &size);
    for (unsigned int i = 0; i < size && 2 * i + 2 < SIGNATURE_SIZE; i++)
        snprintf(signature + 2 * i, 3, "%02x", digest[i]);
}

#else

static const char MISSING[] = "compiled without OpenSSL (Debian: apt-get install libssl-dev)";

void begin_tls(struct connection *connection)
{
    (void)connection;
    fail("%s", MISSING);
}

int shake_hands(struct connection *connection)
{
    (void)connection;
    fail("%s", MISSING);
}

void end_tls(struct connection *connection)
{
    (void)connection;
}

ssize_t read_tls(struct connection *from, unsigned char *bytes, size_t room)
{
    (void)from, (void)bytes, (void)room;
    fail("%s", MISSING);
}

ssize_t write_tls(struct connection *to, const unsigned char *bytes, size_t size)
{
    (void)to, (void)bytes, (void)size;
    fail("%s", MISSING);
}

void sign(const char *secret, const char *text, char signature[SIGNATURE_SIZE])
{
    (void)secret, (void)text, (void)signature;
    fail("%s", MISSING);
}
#endif
