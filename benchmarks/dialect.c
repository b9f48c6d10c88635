/* The protocols that the load generator speaks; see dialect.h. */
#define _GNU_SOURCE
#include "dialect.h"
#include "tls.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct dialect *dialect;

__attribute__((format(printf, 2, 3))) static void say(struct subscriber *self, const char *format, ...)
{
    char message[1024];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (size >= (int)sizeof message)
        fail("a message of %d bytes to send", size);
    send_frame(&self->connection, OPCODE_TEXT, message, (size_t)size);
}

static int begins(const struct frame *message, const char *text)
{
    size_t size = strlen(text);

    return message->size >= size && !memcmp(message->payload, text, size);
}

/* ---- Pusher Channels: Oyez, soketi, Sockudo ---- */

static void pusher_target(const struct subscriber *self, char *text, size_t room)
{
    (void)self;
    snprintf(text, room, "/app/%s?protocol=7&client=bench&version=1.0&flash=false", options.key);
}

/* A presence channel is told who joins, and wants the application's word for it. */
static void pusher_subscribe(struct subscriber *self, long channel)
{
    char name[NAME_ROOM], member[64], quoted[96], text[512], signature[SIGNATURE_SIZE];

    name_channel(channel, name);
    if (!options.presence) {
        say(self, "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"%s\",\"auth\":\"\"}}", name);
        return;
    }
    snprintf(member, sizeof member, "{\"user_id\":\"user-%06d\"}", self->connection.number);
    snprintf(quoted, sizeof quoted, "{\\\"user_id\\\":\\\"user-%06d\\\"}", self->connection.number);
    snprintf(text, sizeof text, "%s:%s:%s", self->socket_id, name, member);
    sign(options.secret, text, signature);
    say(self,
        "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"%s\",\"auth\":\"%s:%s\","
        "\"channel_data\":\"%s\"}}",
        name, options.key, signature, quoted);
}

static void pusher_unsubscribe(struct subscriber *self, long channel)
{
    char name[NAME_ROOM];

    name_channel(channel, name);
    say(self, "{\"event\":\"pusher:unsubscribe\",\"data\":{\"channel\":\"%s\"}}", name);
}

static void pusher_answer_ping(struct subscriber *self)
{
    say(self, "{\"event\":\"pusher:pong\",\"data\":{}}");
}

static enum meaning pusher_meaning(const struct frame *message)
{
    static const struct {
        const char *event;
        enum meaning meaning;
    } events[] = {
        {"\"pusher:connection_established\"", GREETING},
        {"\"pusher_internal:subscription_succeeded\"", ACKNOWLEDGEMENT},
        {"\"pusher_internal:member_added\"", JOINED},
        {"\"pusher_internal:member_removed\"", LEFT},
        {"\"pusher:ping\"", PING},
        {"\"pusher:error\"", REFUSAL},
        {"\"pusher:subscription_error\"", REFUSAL},
    };

    if (!contains(message, "\"pusher"))
        return OTHER;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (contains(message, events[i].event))
            return events[i].meaning;
    return OTHER;
}

/* ---- nchan: the location names the channels, and nothing but events is said ---- */

static void nchan_target(const struct subscriber *self, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, "/sub/");
    char name[NAME_ROOM];

    for (long i = 0; i < channels_of(self); i++) {
        name_channel(channel_of(self, i), name);
        used += (size_t)snprintf(text + used, room - used, "%s%s", i ? "," : "", name);
        if (used >= room)
            fail("a target of more than %zu bytes", room);
    }
}

static enum meaning nchan_meaning(const struct frame *message)
{
    (void)message;
    return OTHER;
}

/* ---- Centrifugo: commands with numbers, replies, and pushes without ---- */

static void centrifugo_target(const struct subscriber *self, char *text, size_t room)
{
    (void)self;
    snprintf(text, room, "/connection/websocket");
}

static void centrifugo_introduce(struct subscriber *self)
{
    say(self, "{\"id\":1,\"connect\":{}}");
}

static void centrifugo_subscribe(struct subscriber *self, long channel)
{
    char name[NAME_ROOM];

    name_channel(channel, name);
    say(self, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", name);
}

static void centrifugo_unsubscribe(struct subscriber *self, long channel)
{
    char name[NAME_ROOM];

    name_channel(channel, name);
    say(self, "{\"id\":3,\"unsubscribe\":{\"channel\":\"%s\"}}", name);
}

static void centrifugo_answer_ping(struct subscriber *self)
{
    say(self, "{}");
}

static enum meaning centrifugo_meaning(const struct frame *message)
{
    if (message->size == 2)
        return PING;
    if (begins(message, "{\"id\":"))
        return contains(message, "\"error\":") ? REFUSAL
               : begins(message, "{\"id\":1,") ? GREETING
               : begins(message, "{\"id\":2,") ? ACKNOWLEDGEMENT
                                               : OTHER;
    if (contains(message, "\"join\":{"))
        return JOINED;
    return contains(message, "\"leave\":{") ? LEFT : OTHER;
}

static const struct dialect dialects[] = {
    {.name = "pusher",
     .write_target = pusher_target,
     .subscribe = pusher_subscribe,
     .unsubscribe = pusher_unsubscribe,
     .answer_ping = pusher_answer_ping,
     .meaning = pusher_meaning},
    {.name = "nchan", .write_target = nchan_target, .meaning = nchan_meaning},
    {.name = "centrifugo",
     .write_target = centrifugo_target,
     .introduce = centrifugo_introduce,
     .subscribe = centrifugo_subscribe,
     .unsubscribe = centrifugo_unsubscribe,
     .answer_ping = centrifugo_answer_ping,
     .meaning = centrifugo_meaning,
     .joins_messages = 1},
};

void choose_dialect(const char *name)
{
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(name, dialects[i].name))
            dialect = &dialects[i];
    if (!dialect)
        fail("no dialect is called %s", name);
}
