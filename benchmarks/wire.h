/*
 * What the load generator puts on a socket and reads from it: TCP on 127.0.0.1, HTTP/1.1 replies and
 * WebSocket frames (RFC 6455, client side). No function here knows what is being measured.
 *
 * Any violation of a protocol ends the program with a sentence on stderr: a benchmark that goes on
 * after an error measures nothing.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

enum { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

struct tls;

/* A non-blocking socket with the bytes of the message that has arrived only in part. */
struct connection {
    int fd;
    int number;                             /* for messages: "subscriber 17" */
    const char *kind;
    void (*ready)(struct connection *self); /* called when there is something to read */
    struct tls *tls;                        /* tls.h; NULL: plain TCP */
    int may_end, ended; /* whether the server may close it now; whether it has done so */
    unsigned char *kept;
    size_t kept_size;
};

/* A frame inside a buffer: `payload` points into it. */
struct frame {
    int opcode;
    const unsigned char *payload;
    size_t size;
};

/* An HTTP reply inside a buffer. */
struct reply {
    int status;
    int closes; /* the server closes the connection after it */
    const unsigned char *body;
    size_t body_size;
};

void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void *allocate(size_t count, size_t size);
double microseconds(void);

/* receive_buffer: SO_RCVBUF in bytes, 0 for what the kernel thinks right. */
int connect_to(int port, int receive_buffer);
void disconnect(struct connection *from);

/*
 * Reads once; returns how many bytes stand at *bytes (kept ones first), 0 when nothing had arrived or
 * when the server has closed a connection that it may close.
 */
size_t receive(struct connection *from, unsigned char **bytes);
/* Keeps what is left of the buffer for the next receive(). */
void keep(struct connection *from, const unsigned char *rest, size_t size);
void send_all(struct connection *to, const void *bytes, size_t size);

/* Both return the number of bytes the message takes, or 0 when it is not complete yet. */
size_t read_frame(const unsigned char *bytes, size_t size, struct frame *frame);
size_t read_reply(const unsigned char *bytes, size_t size, struct reply *reply);

void send_frame(struct connection *to, int opcode, const void *payload, size_t size);
void send_upgrade(struct connection *to, int port, const char *target);
/* Returns the length of the 101 reply, or 0 when it is not complete yet. */
size_t read_upgrade(const unsigned char *bytes, size_t size);

#endif
