/*
 * Load generator: plays the subscribers and the publishers of a Pusher Channels server from one
 * thread on epoll, and checks every byte that comes back.
 *
 *   loadgen fanout  --port P --requests FILE [--connections N] [--publishers M] [--channel NAME]
 *       N subscribers of one channel, M keep-alive HTTP connections that publish to it
 *   loadgen publish --port P --requests FILE [--publishers M]
 *       M keep-alive HTTP connections, each with one publish under way, nobody subscribed
 *   loadgen idle    --port P [--connections N] [--channel NAME] [--distinct]
 *       N subscribers (of one channel, or of one each) that stay until standard input ends
 *   loadgen sink    --port P [--connections N] --frame-bytes B
 *       the other end of send_loop.c: reads N connections, and tells it after every N*B bytes
 *
 * Further: [--key APP-KEY]; [--body TEXT], the body that a successful publish is answered with;
 * [--reconnect] for a server that closes an HTTP connection after each answer; [--sleep] to sleep
 * whenever there is nothing to read (loop.h says why it does not).
 *
 * fanout, publish and idle print {"ready":…} when all subscribers are subscribed. fanout and publish then
 * take orders, one a line on standard input, "EVENTS IN_FLIGHT", and answer each with one line of
 * JSON; the process that measures the server's CPU can so sample it exactly before and after. Alone:
 *
 *   echo 1000 16 | loadgen fanout --port 6001 --connections 1000 --publishers 16 --requests FILE
 *
 * FILE holds signed requests, each after its length as four bytes, little endian; request i carries
 * the text "seq-" and i in eight digits in its event's data. Longer runs begin again at its start.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "loop.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 8 };
static const char MARK[] = "seq-";

struct options options = {
    .key = "app-key", .channel = "bench", .body = "{}", .connections = 1, .publishers = 1};

/* ---- fanout ------------------------------------------------------------------------------ */

/* The first event delivered. All others must be equal to it but for the number's digits. */
static struct {
    unsigned char *text;
    size_t size, digits;
} sample;

/* The events from `oldest` to `next` - 1 are under way; event i uses the slot i % IN_FLIGHT_MAX. */
static struct {
    long next, oldest;
    long missing[IN_FLIGHT_MAX]; /* deliveries not seen yet, and one for the publisher's 200 */
    double sent_us[IN_FLIGHT_MAX];
} flight;

static void finish_one(long event)
{
    if (--flight.missing[event % IN_FLIGHT_MAX] == 0)
        note_latency(flight.sent_us[event % IN_FLIGHT_MAX]);
    while (flight.oldest < flight.next && flight.missing[flight.oldest % IN_FLIGHT_MAX] == 0)
        flight.oldest++;
}

static void take_sample(const struct frame *frame, size_t digits)
{
    sample.size = frame->size;
    sample.digits = digits;
    sample.text = allocate(frame->size, 1);
    memcpy(sample.text, frame->payload, frame->size);
    if (!contains(frame, options.channel))
        fail("an event of another channel: %.*s", (int)frame->size, (const char *)frame->payload);
}

static int is_like_sample(const struct frame *frame)
{
    size_t after = sample.digits + DIGITS;

    return sample.text && frame->size == sample.size &&
           !memcmp(frame->payload, sample.text, sample.digits) &&
           !memcmp(frame->payload + after, sample.text + after, sample.size - after);
}

/* Whether the message is one of the published events; one that is not quite ends the program. */
static int is_event(const struct frame *frame)
{
    const unsigned char *mark;
    size_t digits;

    if (is_like_sample(frame))
        return 1;
    mark = memmem(frame->payload, frame->size, MARK, sizeof MARK - 1);
    if (!mark)
        return 0;
    digits = (size_t)(mark - frame->payload) + sizeof MARK - 1;
    if (sample.text || frame->size < digits + DIGITS)
        fail("an event differs from the first one: %.*s", (int)frame->size,
             (const char *)frame->payload);
    take_sample(frame, digits);
    return 1;
}

static long read_number(const struct frame *frame)
{
    long number = 0;

    for (size_t i = sample.digits; i < sample.digits + DIGITS; i++) {
        if (frame->payload[i] < '0' || frame->payload[i] > '9')
            fail("an event without a number: %.*s", (int)frame->size, (const char *)frame->payload);
        number = number * 10 + (frame->payload[i] - '0');
    }
    return number;
}

/* Exactly once and in order per publisher: that is what the protocol promises. */
static void receive_event(struct subscriber *self, const struct frame *frame)
{
    long number, event;

    if (!is_event(frame))
        return;
    if (!publishers_used)
        fail("subscriber %d: an event that nobody published", self->connection.number);
    number = read_number(frame);
    event = self->next[number % publishers_used];
    if (event >= flight.next || event % request_count != number)
        fail("subscriber %d: expected event %ld, got %ld: lost, repeated or out of order",
             self->connection.number, event % request_count, number);
    self->next[number % publishers_used] += publishers_used;
    finish_one(event);
}

static void receive_answers(struct connection *connection)
{
    struct publisher *self = (struct publisher *)connection; /* its first member */

    for (int replies = read_replies(connection); replies; replies--) {
        long event = self->next_reply;
        if (event >= flight.next)
            fail("publisher %d: an answer without a request", connection->number);
        self->next_reply += publishers_used;
        finish_one(event);
    }
}

static void fill_window(long events, long in_flight)
{
    while (flight.next < events && flight.next < flight.oldest + in_flight) {
        long event = flight.next++;
        flight.missing[event % IN_FLIGHT_MAX] = subscribed + 1;
        flight.sent_us[event % IN_FLIGHT_MAX] = microseconds();
        send_request(&publishers[event % publishers_used], event);
    }
}

static void run_fanout(long events, long in_flight)
{
    double seconds = 0, deliveries = (double)events * subscribed;

    use_publishers(in_flight, receive_answers);
    if (request_count % publishers_used)
        fail("%ld requests cannot be dealt evenly to %ld publishers", request_count, publishers_used);
    for (int i = 0; i < subscribed; i++)
        for (long publisher = 0; publisher < publishers_used; publisher++)
            subscribers[i].next[publisher] = publisher;
    flight.next = flight.oldest = reads = 0;
    begin_figures(events);
    while (flight.oldest < events) {
        fill_window(events, in_flight);
        serve(SILENCE_MAX_MS);
        seconds = seconds_taken();
    }
    print_figures(events, seconds);
    printf(",\"deliveries\":%.0f,\"deliveries_per_s\":%.0f", deliveries, deliveries / seconds);
    printf(",\"frames_per_read\":%.2f,\"frame_bytes\":%zu}\n", deliveries / (double)reads,
           sample.size + (sample.size < 126 ? 2 : 4));
}

static void fanout(void)
{
    long events, in_flight;

    prepare_publishers();
    on_event = receive_event;
    open_subscribers();
    while (next_order(&events, &in_flight))
        run_fanout(events, in_flight);
}

/* ---- publish ----------------------------------------------------------------------------- */

static long publish_goal;

static void publish_next(struct publisher *self)
{
    flight.sent_us[self->connection.number] = microseconds();
    send_request(self, flight.next++);
}

static void receive_answer(struct connection *connection)
{
    int replies = read_replies(connection);

    if (!replies)
        return;
    if (replies > 1 || figures.done >= publish_goal)
        fail("publisher %d: an answer without a request", connection->number);
    note_latency(flight.sent_us[connection->number]);
    if (flight.next < publish_goal)
        publish_next((struct publisher *)connection);
}

static void run_publish(long events, long in_flight)
{
    double seconds = 0;

    use_publishers(in_flight, receive_answer);
    publish_goal = events;
    flight.next = 0;
    begin_figures(events);
    for (long i = 0; i < publishers_used && flight.next < events; i++)
        publish_next(&publishers[i]);
    while (figures.done < events) {
        serve(SILENCE_MAX_MS);
        seconds = seconds_taken();
    }
    print_figures(events, seconds);
    printf(",\"requests_per_s\":%.0f}\n", (double)events / seconds);
}

static void publish_only(void)
{
    long events, in_flight;

    prepare_publishers();
    printf("{\"ready\":%d}\n", options.publishers);
    while (next_order(&events, &in_flight))
        run_publish(events, in_flight);
}

/* ---- idle and sink ----------------------------------------------------------------------- */

static void idle(void)
{
    long events, in_flight;

    open_subscribers();
    while (next_order(&events, &in_flight))
        fail("idle takes no orders");
}

static struct connection sink_control = {.kind = "control"};
static size_t sink_received;

static void count_bytes(struct connection *connection)
{
    unsigned char *bytes;

    sink_received += receive(connection, &bytes);
    if (sink_received < options.frame_bytes * (size_t)options.connections)
        return;
    sink_received = 0;
    send_all(&sink_control, "1", 1);
}

static void sink(void)
{
    struct connection *connections = allocate((size_t)options.connections, sizeof *connections);
    long rounds, in_flight;

    if (!options.frame_bytes)
        fail("sink needs --frame-bytes");
    sink_control.fd = connect_to(options.port); /* send_loop takes the first one for its control */
    for (int i = 0; i < options.connections; i++) {
        connections[i] = (struct connection){
            .fd = connect_to(options.port), .number = i, .kind = "sink", .ready = count_bytes};
        watch(&connections[i]);
    }
    while (next_order(&rounds, &in_flight))
        fail("sink takes its orders from send_loop");
}

/* ---- command line ------------------------------------------------------------------------ */

static int number_from(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*end || number < 1 || number > 1000000)
        fail("not a number from 1 to 1000000: %s", text);
    return (int)number;
}

static void read_option(int letter)
{
    switch (letter) {
    case 'p': options.port = number_from(optarg); break;
    case 'n': options.connections = number_from(optarg); break;
    case 'm': options.publishers = number_from(optarg); break;
    case 'f': options.frame_bytes = (size_t)number_from(optarg); break;
    case 'r': options.requests = optarg; break;
    case 'c': options.channel = optarg; break;
    case 'k': options.key = optarg; break;
    case 'b': options.body = optarg; break;
    case 'd': options.distinct = 1; break;
    case 'o': options.reconnect = 1; break;
    case 's': sleeps = 1; break;
    default: exit(2);
    }
}

static void read_options(int count, char **arguments)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},       {"connections", required_argument, NULL, 'n'},
        {"publishers", required_argument, NULL, 'm'}, {"frame-bytes", required_argument, NULL, 'f'},
        {"requests", required_argument, NULL, 'r'},   {"channel", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},        {"body", required_argument, NULL, 'b'},
        {"distinct", no_argument, NULL, 'd'},         {"reconnect", no_argument, NULL, 'o'},
        {"sleep", no_argument, NULL, 's'},            {NULL, 0, NULL, 0},
    };
    int letter;

    while ((letter = getopt_long(count, arguments, "", names, NULL)) != -1)
        read_option(letter);
    if (!options.port || options.publishers > IN_FLIGHT_MAX)
        fail("needs --port, and at most %d publishers", IN_FLIGHT_MAX);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"fanout", fanout}, {"publish", publish_only}, {"idle", idle}, {"sink", sink}};

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; count > 1 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(arguments[1], modes[i].name))
            continue;
        read_options(count - 1, arguments + 1);
        start_loop();
        modes[i].run();
        return 0;
    }
    fail("the first argument is one of fanout, publish, idle, sink; see the head of loadgen.c");
}
