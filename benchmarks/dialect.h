/*
 * What the servers' protocols differ in, so that one load generator measures all of them: how a client
 * says which channel it wants, and what a message of the server is about. How a publish request looks
 * is not here: requests are written beforehand, by benchmarks/peers.
 */
#ifndef DIALECT_H
#define DIALECT_H

#include "clients.h"

enum meaning { OTHER, GREETING, ACKNOWLEDGEMENT, REFUSAL, PING, JOINED, LEFT };

struct dialect {
    const char *name;
    /* The target of the upgrade request. */
    void (*write_target)(const struct subscriber *self, char *text, size_t room);
    /* Said first, after the upgrade; NULL: nothing. */
    void (*introduce)(struct subscriber *self);
    /* NULL: the target has named the channels, and who is upgraded is subscribed. */
    void (*subscribe)(struct subscriber *self, long channel);
    void (*unsubscribe)(struct subscriber *self, long channel);
    void (*answer_ping)(struct subscriber *self);
    enum meaning (*meaning)(const struct frame *message);
    int joins_messages; /* puts several messages into one frame, one on a line */
};

extern const struct dialect *dialect;
void choose_dialect(const char *name);

#endif
