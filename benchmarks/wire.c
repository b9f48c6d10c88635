/* Sockets, HTTP replies and WebSocket frames of the load generator; see wire.h. */
#define _GNU_SOURCE
#include "wire.h"
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_MAX = 256 * 1024,
    KEEP_MAX = 64 * 1024, /* no message of the protocol is larger */
    SEND_TIMEOUT_MS = 10000,
    SOURCES = 16, /* addresses to connect from: each has its own 28,000 ports */
};

/* The key of RFC 6455 section 1.3 and the answer that it must get; any key serves a benchmark. */
static const char UPGRADE_KEY[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char UPGRADE_ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const unsigned char MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

void fail(const char *format, ...)
{
    va_list arguments;

    fputs("loadgen: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory)
        fail("out of memory");
    return memory;
}

double microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* From 127.0.0.1 to 127.0.0.16 in turn: a port that was closed a moment ago may not be used again. */
static void take_source(int fd)
{
    static unsigned int turn;
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn++ % SOURCES);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind: %s", strerror(errno));
}

int connect_to(int port, int receive_buffer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket: %s (see ulimit -n)", strerror(errno));
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    take_source(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect to 127.0.0.1:%d: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        fail("fcntl: %s", strerror(errno));
    return fd;
}

void disconnect(struct connection *from)
{
    if (from->tls)
        end_tls(from);
    close(from->fd);
    free(from->kept);
    from->kept = NULL;
    from->kept_size = 0;
}

size_t receive(struct connection *from, unsigned char **bytes)
{
    static unsigned char buffer[KEEP_MAX + READ_MAX];
    size_t kept = from->kept_size;
    ssize_t got = from->tls ? read_tls(from, buffer + kept, READ_MAX)
                            : read(from->fd, buffer + kept, READ_MAX);

    if (got <= 0 && from->may_end && (got == 0 || errno == ECONNRESET)) {
        from->ended = 1;
        return 0;
    }
    if (got == 0)
        fail("%s %d: the server closed the connection", from->kind, from->number);
    if (got < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return 0;
        fail("%s %d: read: %s", from->kind, from->number, strerror(errno));
    }
    if (kept)
        memcpy(buffer, from->kept, kept);
    from->kept_size = 0;
    *bytes = buffer;
    return kept + (size_t)got;
}

void keep(struct connection *from, const unsigned char *rest, size_t size)
{
    if (size > KEEP_MAX)
        fail("%s %d: a message of more than %d bytes", from->kind, from->number, KEEP_MAX);
    from->kept_size = size;
    if (!size)
        return;
    from->kept = realloc(from->kept, size);
    if (!from->kept)
        fail("out of memory");
    memcpy(from->kept, rest, size);
}

void send_all(struct connection *to, const void *bytes, size_t size)
{
    const unsigned char *rest = bytes;

    while (size) {
        ssize_t sent = to->tls ? write_tls(to, rest, size) : send(to->fd, rest, size, MSG_NOSIGNAL);
        if (sent < 0) {
            struct pollfd writable = {.fd = to->fd, .events = POLLOUT};
            if (errno != EAGAIN && errno != EINTR)
                fail("%s %d: send: %s", to->kind, to->number, strerror(errno));
            if (poll(&writable, 1, SEND_TIMEOUT_MS) == 0)
                fail("%s %d: the server does not read", to->kind, to->number);
            continue;
        }
        rest += sent;
        size -= (size_t)sent;
    }
}

size_t read_frame(const unsigned char *bytes, size_t size, struct frame *frame)
{
    size_t head = 2;
    uint64_t length;

    if (size < 2)
        return 0;
    if (bytes[1] & 0x80)
        fail("a masked frame from the server");
    if (!(bytes[0] & 0x80) || (bytes[0] & 0x70))
        fail("a fragmented frame, or one with reserved bits: 0x%02x", bytes[0]);
    length = bytes[1];
    if (length >= 126) {
        size_t width = length == 126 ? 2 : 8;
        if (size < 2 + width)
            return 0;
        length = 0;
        for (size_t i = 0; i < width; i++)
            length = length << 8 | bytes[2 + i];
        head += width;
        if (length > KEEP_MAX)
            fail("a frame of %llu bytes", (unsigned long long)length);
    }
    if (size < head + length)
        return 0;
    *frame = (struct frame){bytes[0] & 0x0f, bytes + head, (size_t)length};
    return head + (size_t)length;
}

/* The value of a header inside a complete head, or NULL. */
static const char *header(const char *head, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        size_t width = strlen(name);
        if (!strncasecmp(line + 2, name, width) && line[2 + width] == ':')
            return line + 2 + width + 1;
    }
    return NULL;
}

/* Copies the head of a reply, with its end, as a string. Returns its length, 0 when incomplete. */
static size_t read_head(const unsigned char *bytes, size_t size, char *head, size_t room)
{
    const unsigned char *end = memmem(bytes, size, "\r\n\r\n", 4);
    size_t length;

    if (!end)
        return 0;
    length = (size_t)(end - bytes) + 4;
    if (length >= room)
        fail("a reply with a head of %zu bytes", length);
    memcpy(head, bytes, length);
    head[length] = 0;
    return length;
}

size_t read_reply(const unsigned char *bytes, size_t size, struct reply *reply)
{
    char head[4096];
    size_t length = read_head(bytes, size, head, sizeof head);
    const char *content_length, *connection;

    if (!length)
        return 0;
    if (sscanf(head, "HTTP/1.1 %d", &reply->status) != 1)
        fail("not an HTTP/1.1 reply: %.60s", head);
    content_length = header(head, "content-length");
    if (!content_length)
        fail("a reply without Content-Length: %s", head);
    connection = header(head, "connection");
    reply->closes = connection && !strncasecmp(connection + strspn(connection, " "), "close", 5);
    reply->body = bytes + length;
    reply->body_size = strtoul(content_length, NULL, 10);
    return size < length + reply->body_size ? 0 : length + reply->body_size;
}

void send_frame(struct connection *to, int opcode, const void *payload, size_t size)
{
    unsigned char frame[4 + sizeof MASK + 1024];
    const unsigned char *plain = payload;
    size_t at = 0;

    if (size > 1024)
        fail("a frame of %zu bytes to send", size);
    frame[at++] = (unsigned char)(0x80 | opcode);
    if (size < 126) {
        frame[at++] = (unsigned char)(0x80 | size);
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = (unsigned char)(size >> 8);
        frame[at++] = (unsigned char)size;
    }
    memcpy(frame + at, MASK, sizeof MASK);
    at += sizeof MASK;
    for (size_t i = 0; i < size; i++)
        frame[at++] = plain[i] ^ MASK[i % sizeof MASK];
    send_all(to, frame, at);
}

void send_upgrade(struct connection *to, int port, const char *target)
{
    char request[8192];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\n"
                        "Host: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        target, port, UPGRADE_KEY);

    if (size >= (int)sizeof request)
        fail("an upgrade request of %d bytes", size);
    send_all(to, request, (size_t)size);
}

size_t read_upgrade(const unsigned char *bytes, size_t size)
{
    char head[4096];
    size_t length = read_head(bytes, size, head, sizeof head);

    if (length && (strncmp(head, "HTTP/1.1 101 ", 13) || !strstr(head, UPGRADE_ACCEPT)))
        fail("the upgrade was refused: %s", head);
    return length;
}
