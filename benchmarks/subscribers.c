/* The subscribers of the load generator; see clients.h. */
#define _GNU_SOURCE
#include "clients.h"
#include "dialect.h"
#include "tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPENING_MAX = 64,       /* connections in their handshake at once: below any listen backlog */
    STALLED_BUFFER = 4096,  /* what a subscriber that does not read takes in all the same */
    TARGET_ROOM = 4096,
};

struct subscriber *subscribers;
int subscribed;
long reads;
static int started;
void (*on_message)(struct subscriber *self, const struct frame *message);
void (*on_subscribed)(struct subscriber *self);

/* ---- channels ---- */

int contains(const struct frame *frame, const char *text)
{
    return memmem(frame->payload, frame->size, text, strlen(text)) != NULL;
}

/* All subscriptions of all connections have one row of numbers; number s is to channel s % channels. */
static long first_subscription(const struct subscriber *self)
{
    return self->connection.number * options.per_connection;
}

long channels_of(const struct subscriber *self)
{
    long left = options.subscriptions - first_subscription(self);

    return left < 0 ? 0 : left < options.per_connection ? left : options.per_connection;
}

long channel_of(const struct subscriber *self, long i)
{
    return (first_subscription(self) + i) % options.channels;
}

long place_of(const struct subscriber *self, long channel)
{
    long place = (channel - first_subscription(self)) % options.channels;

    if (place < 0)
        place += options.channels;
    return place < channels_of(self) ? place : -1;
}

void name_channel(long channel, char name[NAME_ROOM])
{
    int size = options.channels == 1
                   ? snprintf(name, NAME_ROOM, "%s", options.channel)
                   : snprintf(name, NAME_ROOM, "%s-%0*ld", options.channel, CHANNEL_DIGITS, channel);

    if (size >= NAME_ROOM)
        fail("the channel's name is too long");
}

/* ---- one connection's way to its subscriptions ---- */

int is_stalled(const struct subscriber *self)
{
    return self->connection.number < options.connections &&
           self->connection.number >= options.connections - options.stalled;
}

static void be_subscribed(struct subscriber *self)
{
    self->stage = SUBSCRIBED;
    subscribed++;
    if (on_subscribed)
        on_subscribed(self);
    if (is_stalled(self))
        watch_its_end(&self->connection);
}

static void subscribe_to_next(struct subscriber *self)
{
    self->stage = SUBSCRIBING;
    if (self->acknowledged == channels_of(self))
        be_subscribed(self);
    else
        dialect->subscribe(self, channel_of(self, self->acknowledged));
}

/* Pusher's greeting names the socket, which the signature for a presence channel contains. */
static void read_greeting(struct subscriber *self, const struct frame *message)
{
    static const char name[] = "socket_id";
    const char *at = memmem(message->payload, message->size, name, sizeof name - 1);
    const char *end = (const char *)message->payload + message->size;
    size_t size = 0;

    if (at) {
        at += sizeof name - 1;
        while (at < end && strchr("\\\": ", *at))
            at++;
        while (at + size < end && size < SOCKET_ID_ROOM - 1 && !strchr("\\\"", at[size]))
            size++;
        memcpy(self->socket_id, at, size);
        self->socket_id[size] = 0;
    }
    subscribe_to_next(self);
}

static void read_message(struct subscriber *self, const struct frame *message)
{
    enum meaning meaning;

    if (self->stage == SUBSCRIBED) {
        if (on_message)
            on_message(self, message);
        return;
    }
    meaning = dialect->meaning(message);
    if (meaning == REFUSAL)
        fail("subscriber %d: %.*s", self->connection.number, (int)message->size,
             (const char *)message->payload);
    if (meaning == PING)
        dialect->answer_ping(self);
    if (self->stage == CONNECTING && meaning == GREETING)
        read_greeting(self, message);
    else if (self->stage == SUBSCRIBING && meaning == ACKNOWLEDGEMENT) {
        self->acknowledged++;
        subscribe_to_next(self);
    }
}

static void read_text(struct subscriber *self, const struct frame *frame)
{
    const unsigned char *at = frame->payload, *end = at + frame->size, *line;

    if (!dialect->joins_messages) {
        read_message(self, frame);
        return;
    }
    for (; at < end; at = line + 1) {
        struct frame message = *frame;
        line = memchr(at, '\n', (size_t)(end - at));
        line = line ? line : end;
        message.payload = at;
        message.size = (size_t)(line - at);
        if (message.size)
            read_message(self, &message);
    }
}

static void read_one_frame(struct subscriber *self, const struct frame *frame)
{
    if (frame->opcode == OPCODE_TEXT)
        read_text(self, frame);
    else if (frame->opcode == OPCODE_PING)
        send_frame(&self->connection, OPCODE_PONG, frame->payload, frame->size);
    else if (frame->opcode == OPCODE_CLOSE)
        fail("subscriber %d: closed by the server with %d %.*s", self->connection.number,
             frame->size < 2 ? 1005 : frame->payload[0] << 8 | frame->payload[1],
             frame->size < 2 ? 0 : (int)frame->size - 2, (const char *)frame->payload + 2);
    else if (frame->opcode != OPCODE_PONG)
        fail("subscriber %d: a frame with opcode %d", self->connection.number, frame->opcode);
}

/* ---- the connection itself ---- */

static int port_of(const struct subscriber *self)
{
    return options.ports[self->connection.number % options.port_count];
}

static void upgrade(struct subscriber *self)
{
    char target[TARGET_ROOM];

    self->stage = UPGRADING;
    dialect->write_target(self, target, sizeof target);
    send_upgrade(&self->connection, port_of(self), target);
}

static void be_upgraded(struct subscriber *self)
{
    self->stage = CONNECTING;
    if (!dialect->subscribe)
        be_subscribed(self);
    else if (dialect->introduce)
        dialect->introduce(self);
}

static void read_subscriber(struct connection *connection);

static void start_subscriber(struct subscriber *self)
{
    self->connection.fd = connect_to(port_of(self), is_stalled(self) ? STALLED_BUFFER : 0);
    self->connection.kind = "subscriber";
    self->connection.ready = read_subscriber;
    self->stage = SHAKING_HANDS;
    self->acknowledged = 0;
    watch(&self->connection);
    if (options.tls)
        begin_tls(&self->connection);
    if (!options.tls || shake_hands(&self->connection))
        upgrade(self);
}

/* Such a client is cut off sooner or later, and comes again: the load is to go on. */
static void replace_stalled(struct subscriber *self)
{
    disconnect(&self->connection);
    subscribed--;
    start_subscriber(self);
}

static void read_subscriber(struct connection *connection)
{
    struct subscriber *self = (struct subscriber *)connection; /* its first member */
    unsigned char *bytes;
    size_t size, at = 0, used;
    struct frame frame;

    if (self->stage == SHAKING_HANDS) {
        if (shake_hands(connection))
            upgrade(self);
        return;
    }
    if (self->stage == SUBSCRIBED && is_stalled(self)) {
        replace_stalled(self);
        return;
    }
    size = receive(connection, &bytes);
    if (!size)
        return;
    reads++;
    if (self->stage == UPGRADING) {
        at = read_upgrade(bytes, size);
        if (at)
            be_upgraded(self);
    }
    if (self->stage != UPGRADING) {
        while ((used = read_frame(bytes + at, size - at, &frame))) {
            read_one_frame(self, &frame);
            at += used;
        }
    }
    keep(connection, bytes + at, size - at);
}

/* ---- all of them ---- */

static void start_next(void)
{
    struct subscriber *self = &subscribers[started];

    self->connection.number = started++;
    self->began_us = microseconds();
    start_subscriber(self);
}

void open_subscribers(int count, int at_once, long per_second)
{
    double began = microseconds(), gap = per_second ? 1e6 / (double)per_second : 0;

    if (!subscribers)
        subscribers =
            allocate((size_t)(options.connections + options.churners), sizeof *subscribers);
    while (subscribed < count) {
        while (started < count && started - subscribed < at_once &&
               microseconds() >= began + started * gap)
            start_next();
        if (gap && started < count && started - subscribed < at_once)
            serve_until(began + started * gap);
        else
            serve(SILENCE_MAX_MS);
        if (microseconds() - began > ORDER_MAX_US)
            fail("only %d of %d subscribed", subscribed, count);
    }
}

void open_all_subscribers(void)
{
    open_subscribers(options.connections + options.churners, OPENING_MAX, 0);
}

void say_ready(void)
{
    printf("{\"ready\":%d}\n", subscribed);
}

void close_subscribers(void)
{
    for (int i = 0; i < started; i++)
        disconnect(&subscribers[i].connection);
    started = subscribed = 0;
}
