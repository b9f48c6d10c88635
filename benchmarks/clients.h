/*
 * The two kinds of clients that the load generator plays: publishers (keep-alive HTTP connections that
 * send requests written beforehand) and subscribers (WebSocket connections to some channels).
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include "loop.h"
#include "wire.h"

enum { PORTS_MAX = 16 };

struct options {
    const char *key, *secret, *channel, *body, *requests;
    int ports[PORTS_MAX], port_count, publish_port;
    int connections, publishers, reconnect, fresh, tls, presence, churners, stalled;
    long channels, per_connection, subscriptions;
    size_t frame_bytes;
};
extern struct options options;

/* ---- publishers (publishers.c) ---- */

/* Event number e is published by the publisher e % publishers_used, in this order. */
struct publisher {
    struct connection connection;
    int open;
    long next_event; /* the one to be sent next */
    long next_reply; /* the one whose answer comes next on this connection */
};

struct request {
    const unsigned char *bytes;
    size_t size;
    long channel;
};

extern struct publisher *publishers;
extern long publishers_used; /* in the present order */
extern struct request *requests;
extern long request_count;

void prepare_publishers(void);
/* Opens those that the order needs and that are not open yet: servers close silent ones. */
void use_publishers(const struct order *order, void (*ready)(struct connection *));
void send_next(struct publisher *self);
long under_way(const struct publisher *self);
/* Reads the answers that have arrived on one connection and checks them; returns how many. */
int read_replies(struct publisher *self);

/* ---- subscribers (subscribers.c) ---- */

enum { SOCKET_ID_ROOM = 48, NAME_ROOM = 192, CHANNEL_DIGITS = 6 };

enum stage { SHAKING_HANDS, UPGRADING, CONNECTING, SUBSCRIBING, SUBSCRIBED };

/*
 * The connections 0 to options.connections - 1 are in options.per_connection channels each, the last
 * options.stalled of them stop reading, and the options.churners after them come and go.
 */
struct subscriber {
    struct connection connection;
    enum stage stage;
    long acknowledged; /* subscriptions */
    double began_us;
    char socket_id[SOCKET_ID_ROOM];
    int *last; /* for fanout.c: by channel of this connection and publisher, the last event */
};

extern struct subscriber *subscribers;
extern int subscribed;
extern long reads; /* of subscribers, with at least one byte: at most as often as the server wrote */
/* What to do with a text message to a subscribed one; NULL: nothing. */
extern void (*on_message)(struct subscriber *self, const struct frame *message);
/* What to do when one is subscribed; NULL: nothing. */
extern void (*on_subscribed)(struct subscriber *self);

/*
 * Opens so many connections up to the subscription, at most `at_once` of them in their handshake and,
 * if per_second is not 0, no faster than that.
 */
void open_subscribers(int count, int at_once, long per_second);
void open_all_subscribers(void);
void say_ready(void);
void close_subscribers(void);

/* Which channels a connection is in: its i-th is channel_of(self, i), from 0 to options.channels - 1. */
long channels_of(const struct subscriber *self);
long channel_of(const struct subscriber *self, long i);
/* The opposite: which of its channels this is, or -1. */
long place_of(const struct subscriber *self, long channel);
/* A name of the same length for all; with a single channel it is options.channel itself. */
void name_channel(long channel, char name[NAME_ROOM]);
int is_stalled(const struct subscriber *self);
int contains(const struct frame *frame, const char *text);

#endif
