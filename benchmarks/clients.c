/* The publishers and subscribers of the load generator; see clients.h. */
#define _GNU_SOURCE
#include "clients.h"
#include "loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPENING_MAX = 64 }; /* connections in their handshake at once: below any listen backlog */

/* ---- signed requests ---- */

struct request {
    const unsigned char *bytes;
    size_t size;
};

static struct request *requests;
long request_count;

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = path ? fopen(path, "rb") : NULL;
    unsigned char *bytes;
    long length;

    if (!file || fseek(file, 0, SEEK_END) < 0 || (length = ftell(file)) < 0)
        fail("cannot read --requests %s", path ? path : "(missing)");
    rewind(file);
    bytes = allocate((size_t)length, 1);
    *size = fread(bytes, 1, (size_t)length, file);
    fclose(file);
    return bytes;
}

void prepare_publishers(void)
{
    size_t size;
    unsigned char *bytes = read_file(options.requests, &size);

    requests = allocate(size / 4 + 1, sizeof *requests);
    publishers = allocate((size_t)options.publishers, sizeof *publishers);
    for (size_t at = 0; at + 4 <= size; request_count++) {
        size_t length = bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 |
                        (size_t)bytes[at + 3] << 24;
        if (length > size - at - 4)
            fail("--requests %s: cut off in request %ld", options.requests, request_count);
        requests[request_count] = (struct request){bytes + at + 4, length};
        at += 4 + length;
    }
    if (request_count < 1)
        fail("--requests %s: empty", options.requests);
}

/* ---- publishers ---- */

struct publisher *publishers;
long publishers_used;
static int publishers_open;

void send_request(struct publisher *self, long event)
{
    const struct request *request = &requests[event % request_count];

    send_all(&self->connection, request->bytes, request->size);
}

static void check_reply(const struct connection *from, const struct reply *reply)
{
    if (reply->status != 200 || reply->body_size != strlen(options.body) ||
        memcmp(reply->body, options.body, reply->body_size))
        fail("%s %d: expected 200 and %s, got %d and %.*s", from->kind, from->number, options.body,
             reply->status, (int)reply->body_size, (const char *)reply->body);
}

static void reconnect(struct connection *publisher)
{
    if (!options.reconnect)
        fail("publisher %d: the server does not keep the connection", publisher->number);
    close(publisher->fd);
    publisher->fd = connect_to(options.port);
    watch(publisher);
}

int read_replies(struct connection *from)
{
    unsigned char *bytes;
    size_t size = receive(from, &bytes), at = 0, used;
    struct reply reply = {0};
    int replies = 0;

    if (!size)
        return 0;
    while ((used = read_reply(bytes + at, size - at, &reply))) {
        check_reply(from, &reply);
        at += used;
        replies++;
    }
    keep(from, bytes + at, size - at);
    if (replies && reply.closes)
        reconnect(from);
    return replies;
}

void use_publishers(long in_flight, void (*ready)(struct connection *))
{
    publishers_used = in_flight < options.publishers ? in_flight : options.publishers;
    for (long i = 0; i < publishers_used; i++)
        publishers[i].next_reply = i;
    while (publishers_open < publishers_used) {
        struct connection *connection = &publishers[publishers_open].connection;
        *connection = (struct connection){.fd = connect_to(options.port),
                                          .number = publishers_open++,
                                          .kind = "publisher",
                                          .ready = ready};
        watch(connection);
    }
}

/* ---- subscribers ---- */

struct subscriber *subscribers;
int subscribed;
long reads;
static int started;
void (*on_event)(struct subscriber *self, const struct frame *frame);

int contains(const struct frame *frame, const char *text)
{
    return memmem(frame->payload, frame->size, text, strlen(text)) != NULL;
}

static void subscribe(struct subscriber *self)
{
    char message[512], suffix[16] = "";
    int size;

    if (options.distinct)
        snprintf(suffix, sizeof suffix, "-%d", self->connection.number);
    size = snprintf(message, sizeof message,
                    "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"%s%s\",\"auth\":\"\"}}",
                    options.channel, suffix);
    if (size >= (int)sizeof message)
        fail("the channel's name is too long");
    send_frame(&self->connection, OPCODE_TEXT, message, (size_t)size);
}

static void read_text(struct subscriber *self, const struct frame *frame)
{
    if (self->stage == SUBSCRIBED) {
        if (on_event)
            on_event(self, frame);
    } else if (contains(frame, "\"pusher:error\"")) {
        fail("subscriber %d: %.*s", self->connection.number, (int)frame->size,
             (const char *)frame->payload);
    } else if (self->stage == CONNECTING && contains(frame, "\"pusher:connection_established\"")) {
        subscribe(self);
        self->stage = SUBSCRIBING;
    } else if (self->stage == SUBSCRIBING &&
               contains(frame, "\"pusher_internal:subscription_succeeded\"")) {
        self->stage = SUBSCRIBED;
        subscribed++;
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

static void read_subscriber(struct connection *connection)
{
    struct subscriber *self = (struct subscriber *)connection; /* its first member */
    unsigned char *bytes;
    size_t size = receive(connection, &bytes), at = 0, used;
    struct frame frame;

    if (!size)
        return;
    reads++;
    if (self->stage == UPGRADING) {
        at = read_upgrade(bytes, size);
        if (at)
            self->stage = CONNECTING;
    }
    if (self->stage != UPGRADING) {
        while ((used = read_frame(bytes + at, size - at, &frame))) {
            read_one_frame(self, &frame);
            at += used;
        }
    }
    keep(connection, bytes + at, size - at);
}

static void start_subscriber(void)
{
    struct subscriber *self = &subscribers[started];

    self->connection = (struct connection){.fd = connect_to(options.port),
                                           .number = started,
                                           .kind = "subscriber",
                                           .ready = read_subscriber};
    self->next = allocate((size_t)options.publishers, sizeof *self->next);
    watch(&self->connection);
    send_upgrade(&self->connection, options.port, options.key);
    started++;
}

void open_subscribers(void)
{
    double began = microseconds();

    subscribers = allocate((size_t)options.connections, sizeof *subscribers);
    while (subscribed < options.connections) {
        while (started < options.connections && started - subscribed < OPENING_MAX)
            start_subscriber();
        serve(SILENCE_MAX_MS);
        if (microseconds() - began > ORDER_MAX_US)
            fail("only %d of %d subscribed", subscribed, options.connections);
    }
    printf("{\"ready\":%d,\"seconds\":%.3f}\n", subscribed, (microseconds() - began) / 1e6);
}
