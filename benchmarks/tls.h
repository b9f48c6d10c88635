/*
 * What the load generator needs of OpenSSL: TLS on a non-blocking socket, without checking the
 * certificate, and the HMAC that a presence channel asks for. Compiled without OpenSSL's headers, both
 * end the program when they are used; everything else works.
 */
#ifndef TLS_H
#define TLS_H

#include "wire.h"

#include <sys/types.h>

/* 64 hexadecimal digits and the end of the string. */
enum { SIGNATURE_SIZE = 65 };

/* Always a full handshake: nothing is resumed. */
void begin_tls(struct connection *connection);
/* Goes on with the handshake as far as it goes now; whether it is complete. */
int shake_hands(struct connection *connection);
void end_tls(struct connection *connection);
/* Like read(2) and send(2), with errno EAGAIN. read_tls takes all that has arrived and fits. */
ssize_t read_tls(struct connection *from, unsigned char *bytes, size_t room);
ssize_t write_tls(struct connection *to, const unsigned char *bytes, size_t size);

void sign(const char *secret, const char *text, char signature[SIGNATURE_SIZE]);

#endif
