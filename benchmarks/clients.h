/*
 * The two kinds of clients that the load generator plays: publishers (keep-alive HTTP connections that
 * send requests signed beforehand) and subscribers (WebSocket connections to one channel).
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include "wire.h"

struct options {
    const char *key, *channel, *body, *requests;
    int port, connections, publishers, distinct, reconnect;
    size_t frame_bytes;
};
extern struct options options;

/* ---- publishers ---- */

struct publisher {
    struct connection connection;
    long next_reply; /* the event whose answer comes next on this connection */
};

extern struct publisher *publishers;
extern long publishers_used; /* in the present order */
extern long request_count;

void prepare_publishers(void);
/* Opens those that the next order needs and that are not open yet: servers close silent ones. */
void use_publishers(long in_flight, void (*ready)(struct connection *));
void send_request(struct publisher *self, long event);
/* Reads the answers that have arrived on one connection and checks them; returns how many. */
int read_replies(struct connection *from);

/* ---- subscribers ---- */

enum stage { UPGRADING, CONNECTING, SUBSCRIBING, SUBSCRIBED };

struct subscriber {
    struct connection connection;
    enum stage stage;
    long *next; /* per publisher: the event that must come next */
};

extern struct subscriber *subscribers;
extern int subscribed;
extern long reads; /* of subscribers, with at least one byte: at most as often as the server wrote */
/* What to do with a text message of the channel; idle has nothing, because nobody publishes there. */
extern void (*on_event)(struct subscriber *self, const struct frame *frame);

void open_subscribers(void);
int contains(const struct frame *frame, const char *text);

#endif
