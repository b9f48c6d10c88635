/* The publishers of the load generator; see clients.h. */
#include "clients.h"

#include <stdio.h>
#include <string.h>

struct publisher *publishers;
long publishers_used;
struct request *requests;
long request_count;

/* ---- the requests ---- */

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

static size_t four_bytes(const unsigned char *bytes)
{
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (size_t)bytes[3] << 24;
}

void prepare_publishers(void)
{
    size_t size;
    unsigned char *bytes = read_file(options.requests, &size);

    requests = allocate(size / 8 + 1, sizeof *requests);
    publishers = allocate((size_t)options.publishers, sizeof *publishers);
    for (size_t at = 0; at + 8 <= size; request_count++) {
        size_t length = four_bytes(bytes + at);
        if (length > size - at - 8)
            fail("--requests %s: cut off in request %ld", options.requests, request_count);
        requests[request_count] =
            (struct request){bytes + at + 8, length, (long)four_bytes(bytes + at + 4)};
        if (requests[request_count].channel >= options.channels)
            fail("--requests %s: more channels than --channels", options.requests);
        at += 8 + length;
    }
    if (request_count < 2 * IN_FLIGHT_MAX)
        fail("--requests %s: too few of them", options.requests);
}

/* ---- connections ---- */

static void open_publisher(struct publisher *self)
{
    self->connection.fd = connect_to(options.publish_port, 0);
    self->connection.ended = 0;
    self->connection.may_end = 1;
    self->open = 1;
    watch(&self->connection);
}

static void close_publisher(struct publisher *self)
{
    disconnect(&self->connection);
    self->open = 0;
}

void use_publishers(const struct order *order, void (*ready)(struct connection *))
{
    long needed = (order->in_flight + order->depth - 1) / order->depth;

    publishers_used = needed < options.publishers ? needed : options.publishers;
    if (request_count % publishers_used)
        fail("%ld requests cannot be dealt evenly to %ld publishers", request_count, publishers_used);
    for (int i = 0; i < publishers_used; i++) {
        struct publisher *self = &publishers[i];
        self->next_event = self->next_reply = i;
        self->connection.number = i;
        self->connection.kind = "publisher";
        self->connection.ready = ready;
        if (!self->open && !options.fresh)
            open_publisher(self);
    }
}

long under_way(const struct publisher *self)
{
    return (self->next_event - self->next_reply) / publishers_used;
}

void send_next(struct publisher *self)
{
    const struct request *request = &requests[self->next_event % request_count];

    if (!self->open)
        open_publisher(self);
    self->next_event += publishers_used;
    self->connection.may_end = 0;
    send_all(&self->connection, request->bytes, request->size);
}

/* ---- answers ---- */

/* With "*" for --body, every success will do. */
static void check_reply(const struct connection *from, const struct reply *reply)
{
    int any = !strcmp(options.body, "*");

    if (any ? reply->status / 100 == 2
            : reply->status == 200 && reply->body_size == strlen(options.body) &&
                  !memcmp(reply->body, options.body, reply->body_size))
        return;
    fail("%s %d: expected 200 and %s, got %d and %.*s", from->kind, from->number, options.body,
         reply->status, (int)reply->body_size, (const char *)reply->body);
}

/*
 * A server that closes every connection gets the next one at once, so that it is not part of the next
 * request's latency; --fresh is the client that opens one when it has something to send.
 */
static void renew(struct publisher *self, int closed)
{
    if (closed && !options.reconnect && !options.fresh)
        fail("publisher %d: the server does not keep the connection", self->connection.number);
    if (under_way(self))
        fail("publisher %d: closed with requests under way", self->connection.number);
    close_publisher(self);
    if (!options.fresh)
        open_publisher(self);
}

int read_replies(struct publisher *self)
{
    struct connection *from = &self->connection;
    unsigned char *bytes;
    size_t size = receive(from, &bytes), at = 0, used;
    struct reply reply = {0};
    int replies = 0;

    if (from->ended)
        close_publisher(self);
    if (!size)
        return 0;
    while ((used = read_reply(bytes + at, size - at, &reply))) {
        if (!under_way(self))
            fail("publisher %d: an answer without a request", from->number);
        check_reply(from, &reply);
        self->next_reply += publishers_used;
        at += used;
        replies++;
    }
    keep(from, bytes + at, size - at);
    from->may_end = !under_way(self);
    if (replies && (reply.closes || options.fresh))
        renew(self, reply.closes);
    return replies;
}
