/*
 * Events under way, and the check of every delivery. An event is complete when its publisher has the
 * answer and as many deliveries arrived as its channel has subscribers. As no subscriber may get an
 * event of a publisher and channel that is not later than the one before, and none of a channel that
 * is not its own, that is: everybody exactly once, and in order per publisher and channel, which is
 * what the protocols promise.
 */
#define _GNU_SOURCE
#include "fanout.h"
#include "churn.h"
#include "clients.h"
#include "dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENT_DIGITS = 8, NOT_SENT = -1 };
static const char MARK[] = "seq-";

/* The first event delivered. All others must be equal to it but for the two numbers' digits. */
static struct {
    unsigned char *text;
    size_t size, event_at, channel_at;
    int has_channel; /* there are several, and the message names its own */
} sample;

/* Events from `oldest` to `newest` may be under way; event i uses the slot i % IN_FLIGHT_MAX. */
static struct {
    long newest, oldest;
    long missing[IN_FLIGHT_MAX]; /* deliveries not seen yet, and one for the publisher's answer */
    double sent_us[IN_FLIGHT_MAX];
    double began_us;
} flight;

static int *audience; /* by channel: how many subscribers must get its events */

/* ---- what a message says ---- */

static long read_number(const struct frame *frame, size_t at, size_t digits)
{
    long number = 0;

    for (size_t i = at; i < at + digits; i++) {
        if (frame->payload[i] < '0' || frame->payload[i] > '9')
            fail("an event without a number: %.*s", (int)frame->size, (const char *)frame->payload);
        number = number * 10 + (frame->payload[i] - '0');
    }
    return number;
}

/* The name's beginning may be that of something else, too: the number after it tells. */
static const unsigned char *after_channel(const struct frame *frame, const char *start)
{
    const unsigned char *at = frame->payload, *end = at + frame->size;
    size_t size = strlen(start);

    while ((at = memmem(at, (size_t)(end - at), start, size))) {
        at += size;
        if (options.channels == 1 || (at < end && *at >= '0' && *at <= '9'))
            break;
    }
    return at;
}

static void find_channel(const struct frame *frame)
{
    char start[NAME_ROOM];
    const unsigned char *at;

    snprintf(start, sizeof start, "%s%s", options.channel, options.channels > 1 ? "-" : "");
    at = after_channel(frame, start);
    if (!at && dialect->subscribe)
        fail("an event of another channel: %.*s", (int)frame->size, (const char *)frame->payload);
    sample.has_channel = at && options.channels > 1;
    if (sample.has_channel)
        sample.channel_at = (size_t)(at - frame->payload);
}

static void take_sample(const struct frame *frame, size_t event_at)
{
    sample.size = frame->size;
    sample.event_at = event_at;
    sample.text = allocate(frame->size, 1);
    memcpy(sample.text, frame->payload, frame->size);
    find_channel(frame);
}

static int is_same(const struct frame *frame, size_t from, size_t to)
{
    return !memcmp(frame->payload + from, sample.text + from, to - from);
}

static int is_like_sample(const struct frame *frame)
{
    size_t hole = sample.event_at, after = hole + EVENT_DIGITS;
    size_t other = sample.channel_at, after_other = other + CHANNEL_DIGITS;

    if (!sample.text || frame->size != sample.size)
        return 0;
    if (!sample.has_channel)
        return is_same(frame, 0, hole) && is_same(frame, after, sample.size);
    if (other < hole)
        return is_same(frame, 0, other) && is_same(frame, after_other, hole) &&
               is_same(frame, after, sample.size);
    return is_same(frame, 0, hole) && is_same(frame, after, other) &&
           is_same(frame, after_other, sample.size);
}

/* Whether the message is one of the published events; one that is not quite ends the program. */
static int is_event(const struct frame *frame)
{
    const unsigned char *mark;
    size_t event_at;

    if (is_like_sample(frame))
        return 1;
    mark = memmem(frame->payload, frame->size, MARK, sizeof MARK - 1);
    if (!mark)
        return 0;
    event_at = (size_t)(mark - frame->payload) + sizeof MARK - 1;
    if (sample.text || frame->size < event_at + EVENT_DIGITS)
        fail("an event differs from the first one: %.*s", (int)frame->size,
             (const char *)frame->payload);
    take_sample(frame, event_at);
    return 1;
}

/* ---- what arrives ---- */

static void finish_one(long event)
{
    long *missing = &flight.missing[event % IN_FLIGHT_MAX];

    if (*missing < 1)
        fail("event %ld: arrived more often than it has subscribers, or before it was sent", event);
    if (--*missing == 0)
        note_latency(flight.sent_us[event % IN_FLIGHT_MAX]);
    while (flight.oldest <= flight.newest && flight.missing[flight.oldest % IN_FLIGHT_MAX] == 0) {
        flight.missing[flight.oldest % IN_FLIGHT_MAX] = NOT_SENT;
        flight.oldest++;
    }
}

/* The event under way that has this number; numbers begin again after request_count. */
static long event_with(const struct subscriber *self, long number)
{
    long event = flight.newest - ((flight.newest - number) % request_count + request_count) %
                                     request_count;

    if (event < flight.oldest)
        fail("subscriber %d: event %ld is not under way: repeated, or of nobody",
             self->connection.number, number);
    return event;
}

static void receive_event(struct subscriber *self, const struct frame *frame)
{
    long event = event_with(self, read_number(frame, sample.event_at, EVENT_DIGITS));
    long channel = requests[event % request_count].channel;
    long place = place_of(self, channel);
    int *last;

    if (place < 0)
        fail("subscriber %d: an event of channel %ld, to which it is not subscribed",
             self->connection.number, channel);
    if (sample.has_channel && read_number(frame, sample.channel_at, CHANNEL_DIGITS) != channel)
        fail("subscriber %d: event %ld came under the name of another channel",
             self->connection.number, event);
    last = &self->last[place * publishers_used + event % publishers_used];
    if (event <= *last)
        fail("subscriber %d: event %ld after %d: repeated or out of order",
             self->connection.number, event, *last);
    *last = (int)event;
    finish_one(event);
}

static void receive_message(struct subscriber *self, const struct frame *message)
{
    if (is_stalled(self)) /* it has read this before it stopped */
        return;
    if (is_churner(self)) {
        hear_churner(self, message);
        return;
    }
    if (is_event(message)) {
        receive_event(self, message);
        return;
    }
    switch (dialect->meaning(message)) {
    case PING: dialect->answer_ping(self); break;
    case JOINED: hear_member(1); break;
    case LEFT: hear_member(0); break;
    case REFUSAL:
        fail("subscriber %d: %.*s", self->connection.number, (int)message->size,
             (const char *)message->payload);
    default: break;
    }
}

static void receive_answers(struct connection *connection)
{
    struct publisher *self = (struct publisher *)connection; /* its first member */
    long event = self->next_reply;

    for (int replies = read_replies(self); replies; replies--, event += publishers_used)
        finish_one(event);
}

/* ---- an order ---- */

/* When the event is to be sent: its latency begins there, however late that turns out to be. */
static double due_us(const struct order *order, long event)
{
    return flight.began_us + (double)event * 1e6 / (double)order->per_second;
}

static int may_send(const struct order *order, const struct publisher *self, double now_us)
{
    return self->next_event < order->events && under_way(self) < order->depth &&
           self->next_event < flight.oldest + order->in_flight &&
           (!order->per_second || due_us(order, self->next_event) <= now_us);
}

static void publish_one(const struct order *order, struct publisher *self, double now_us)
{
    long event = self->next_event, slot = event % IN_FLIGHT_MAX;

    flight.missing[slot] = audience[requests[event % request_count].channel] + 1;
    flight.sent_us[slot] = order->per_second ? due_us(order, event) : now_us;
    if (event > flight.newest)
        flight.newest = event;
    send_next(self);
    churn_on();
}

static void fill_window(const struct order *order)
{
    for (long i = 0; i < publishers_used; i++) {
        double now_us = microseconds();
        while (may_send(order, &publishers[i], now_us)) {
            publish_one(order, &publishers[i], now_us);
            now_us = microseconds();
        }
    }
}

/* Until the next event is due, or until something arrives where nothing can be sent before. */
static void wait_for_more(const struct order *order)
{
    double next_us = 0;

    for (long i = 0; order->per_second && i < publishers_used; i++) {
        const struct publisher *self = &publishers[i];
        double due = due_us(order, self->next_event);
        if (self->next_event < order->events && under_way(self) < order->depth &&
            self->next_event < flight.oldest + order->in_flight && (!next_us || due < next_us))
            next_us = due;
    }
    if (next_us)
        serve_until(next_us);
    else
        serve(SILENCE_MAX_MS);
}

static void begin_order(const struct order *order)
{
    use_publishers(order, receive_answers);
    for (int i = 0; i < options.connections && subscribers; i++) {
        size_t count = (size_t)(channels_of(&subscribers[i]) * publishers_used);
        for (size_t place = 0; place < count; place++)
            subscribers[i].last[place] = -1;
    }
    for (int i = 0; i < IN_FLIGHT_MAX; i++)
        flight.missing[i] = NOT_SENT;
    flight.oldest = reads = 0;
    flight.newest = -1;
    begin_churn();
    begin_figures(order->events);
    flight.began_us = figures.began_us;
}

static double deliveries_of(long events)
{
    double deliveries = 0;

    for (long event = 0; event < events; event++)
        deliveries += audience[requests[event % request_count].channel];
    return deliveries;
}

static void run(const struct order *order)
{
    double seconds = 0, deliveries = deliveries_of(order->events);

    begin_order(order);
    while (flight.oldest < order->events || !churn_is_complete()) {
        fill_window(order);
        wait_for_more(order);
        seconds = seconds_taken();
    }
    print_figures(order->events, seconds, order->per_second > 0);
    printf(",\"deliveries\":%.0f,\"deliveries_per_s\":%.0f", deliveries, deliveries / seconds);
    printf(",\"member_events\":%ld", member_events());
    printf(",\"frames_per_read\":%.2f,\"frame_bytes\":%zu}\n",
           reads ? (deliveries + (double)member_events()) / (double)reads : 0.0,
           sample.size + (sample.size < 126 ? 2 : 4));
}

static void take_orders(void)
{
    struct order order;

    while (next_order(&order)) {
        if (order.events < 1)
            fail("an order without events");
        run(&order);
    }
}

/* ---- the two modes ---- */

static void count_audience(void)
{
    for (int i = 0; i < options.connections; i++) {
        struct subscriber *self = &subscribers[i];
        long count = channels_of(self);
        self->last = allocate((size_t)(count * options.publishers), sizeof *self->last);
        for (long place = 0; place < count && !is_stalled(self); place++)
            audience[channel_of(self, place)]++;
    }
}

void fanout(void)
{
    prepare_publishers();
    audience = allocate((size_t)options.channels, sizeof *audience);
    on_message = receive_message;
    open_all_subscribers();
    count_audience();
    say_ready();
    take_orders();
}

void publish_only(void)
{
    prepare_publishers();
    audience = allocate((size_t)options.channels, sizeof *audience);
    printf("{\"ready\":%d}\n", options.publishers);
    take_orders();
}
