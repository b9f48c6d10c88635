/*
 * Load generator: plays the subscribers and the publishers of a realtime server from one thread on
 * epoll, and checks every byte that comes back.
 *
 *   loadgen fanout  --port P --requests FILE [--connections N] [--publishers M] [--channel NAME]
 *       N subscribers, M keep-alive HTTP connections that publish to them. Order: EVENTS IN_FLIGHT
 *       [PER_SECOND [DEPTH]], with at most IN_FLIGHT events not delivered to all, at most DEPTH (1) of
 *       them unanswered on one connection, and PER_SECOND events a second if that is given
 *   loadgen publish --port P --requests FILE [--publishers M]
 *       the same with nobody subscribed
 *   loadgen idle    --port P [--connections N] [--channel NAME]
 *       N subscribers that stay until standard input ends
 *   loadgen connect --port P [--connections N] [--channel NAME]
 *       at most N subscribers that come and go. Order: CONNECTIONS AT_ONCE [PER_SECOND] opens so many,
 *       with at most AT_ONCE of them in their handshake; "0 1" closes all, without a word
 *   loadgen sink    --port P [--connections N] --frame-bytes B
 *       the other end of send_loop.c: reads N connections, and tells it after every N*B bytes
 *
 * Who is in which channel: [--channels C] of them, [--per-connection K] for each subscriber, but no
 * more than [--subscriptions S] altogether; subscription s is to channel s % C. [--distinct] is one for
 * each subscriber, [--plain] none at all. [--presence] subscribes as a member, with [--secret APP-SECRET]; [--churners X]
 * connections more join and leave while events are published; the last [--stalled Y] subscribers stop
 * reading, and connect again when they are cut off.
 *
 * Several servers: --port P,P,… deals the subscribers to them in turns, [--publish-port P] is published to
 * instead of the first.
 *
 * The server: [--dialect NAME] of dialect.c; [--key APP-KEY]; [--tls] for the subscribers; [--body TEXT],
 * the body that a successful publish is answered with ("*": any); [--reconnect] for a server that closes
 * an HTTP connection after each answer. [--fresh] publishes over a new connection each time. [--sleep]
 * sleeps soon when there is nothing to read (loop.h says why it does not).
 *
 * All but sink print {"ready":…}, then take their orders, one a line on standard input, and answer each
 * with one line of JSON; the process that measures the server's CPU can so sample it exactly before and
 * after. Alone:
 *
 *   echo 1000 16 | loadgen fanout --port 6001 --connections 1000 --publishers 16 --requests FILE
 *
 * FILE holds requests, each after its length and the number of its channel, four bytes each, little
 * endian; request i carries the text "seq-" and i in eight digits in its event's data. Longer runs
 * begin again at its start.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "dialect.h"
#include "fanout.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {.key = "app-key",
                          .secret = "app-secret",
                          .channel = "bench",
                          .body = "{}",
                          .connections = 1,
                          .publishers = 1,
                          .channels = 1,
                          .per_connection = 1};

/* ---- idle ---- */

static void answer_pings(struct subscriber *self, const struct frame *message)
{
    if (dialect->answer_ping && dialect->meaning(message) == PING)
        dialect->answer_ping(self);
}

static void idle(void)
{
    struct order order;

    on_message = answer_pings;
    open_all_subscribers();
    say_ready();
    while (next_order(&order))
        fail("idle takes no orders");
}

/* ---- connect ---- */

static void note_subscribed(struct subscriber *self)
{
    note_latency(self->began_us);
}

static void connect_and_leave(void)
{
    struct order order;

    on_message = answer_pings;
    on_subscribed = note_subscribed;
    say_ready();
    while (next_order(&order)) {
        if (!order.events) {
            close_subscribers();
            say_ready();
            continue;
        }
        if (order.events > options.connections || subscribed)
            fail("more connections than --connections, or some are still open");
        begin_figures(order.events);
        open_subscribers((int)order.events, (int)order.in_flight, order.per_second);
        print_figures(order.events, seconds_taken(), 0);
        printf("}\n");
    }
}

/* ---- sink ---- */

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
    struct order order;

    if (!options.frame_bytes)
        fail("sink needs --frame-bytes");
    sink_control.fd = connect_to(options.ports[0], 0); /* send_loop takes the first one for its control */
    for (int i = 0; i < options.connections; i++) {
        connections[i] = (struct connection){
            .fd = connect_to(options.ports[0], 0), .number = i, .kind = "sink", .ready = count_bytes};
        watch(&connections[i]);
    }
    while (next_order(&order))
        fail("sink takes its orders from send_loop");
}

/* ---- command line ---- */

static int number_from(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*end || number < 1 || number > 1000000)
        fail("not a number from 1 to 1000000: %s", text);
    return (int)number;
}

static void read_ports(char *text)
{
    for (char *port = strtok(text, ","); port; port = strtok(NULL, ",")) {
        if (options.port_count == PORTS_MAX)
            fail("more than %d ports", PORTS_MAX);
        options.ports[options.port_count++] = number_from(port);
    }
}

/* Those that take no number. */
static void read_word(int letter)
{
    switch (letter) {
    case 'p': read_ports(optarg); break;
    case 'r': options.requests = optarg; break;
    case 'c': options.channel = optarg; break;
    case 'k': options.key = optarg; break;
    case 'e': options.secret = optarg; break;
    case 'b': options.body = optarg; break;
    case 'D': choose_dialect(optarg); break;
    case 'o': options.reconnect = 1; break;
    case 'F': options.fresh = 1; break;
    case 't': options.tls = 1; break;
    case 'P': options.presence = 1; break;
    case 's': sleeps = 1; break;
    default: exit(2);
    }
}

/* Those that the others are to be known for. */
static int distinct, plain;

static void read_option(int letter)
{
    switch (letter) {
    case 'u': options.publish_port = number_from(optarg); break;
    case 'n': options.connections = number_from(optarg); break;
    case 'm': options.publishers = number_from(optarg); break;
    case 'f': options.frame_bytes = (size_t)number_from(optarg); break;
    case 'C': options.channels = number_from(optarg); break;
    case 'K': options.per_connection = number_from(optarg); break;
    case 'S': options.subscriptions = number_from(optarg); break;
    case 'X': options.churners = number_from(optarg); break;
    case 'Y': options.stalled = number_from(optarg); break;
    case 'd': distinct = 1; break;
    case 'N': plain = 1; break;
    default: read_word(letter);
    }
}

static void check_options(void)
{
    long all = options.connections * options.per_connection;

    if (!options.port_count || options.publishers > IN_FLIGHT_MAX)
        fail("needs --port, and at most %d publishers", IN_FLIGHT_MAX);
    if (!options.publish_port)
        options.publish_port = options.ports[0];
    if (distinct)
        options.channels = all;
    if (!options.subscriptions || options.subscriptions > all)
        options.subscriptions = all;
    if (plain)
        options.subscriptions = 0;
    if (options.per_connection > options.channels || options.stalled > options.connections)
        fail("more channels per connection than there are, or more stalled than all");
    if (!dialect)
        choose_dialect("pusher");
}

static void read_options(int count, char **arguments)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},        {"connections", required_argument, NULL, 'n'},
        {"publish-port", required_argument, NULL, 'u'},
        {"publishers", required_argument, NULL, 'm'},  {"frame-bytes", required_argument, NULL, 'f'},
        {"requests", required_argument, NULL, 'r'},    {"channel", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},         {"secret", required_argument, NULL, 'e'},
        {"body", required_argument, NULL, 'b'},        {"dialect", required_argument, NULL, 'D'},
        {"channels", required_argument, NULL, 'C'},    {"per-connection", required_argument, NULL, 'K'},
        {"subscriptions", required_argument, NULL, 'S'}, {"churners", required_argument, NULL, 'X'},
        {"stalled", required_argument, NULL, 'Y'},     {"distinct", no_argument, NULL, 'd'},
        {"plain", no_argument, NULL, 'N'},
        {"reconnect", no_argument, NULL, 'o'},         {"fresh", no_argument, NULL, 'F'},
        {"tls", no_argument, NULL, 't'},               {"presence", no_argument, NULL, 'P'},
        {"sleep", no_argument, NULL, 's'},             {NULL, 0, NULL, 0},
    };
    int letter;

    while ((letter = getopt_long(count, arguments, "", names, NULL)) != -1)
        read_option(letter);
    check_options();
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"fanout", fanout},
                 {"publish", publish_only},
                 {"idle", idle},
                 {"connect", connect_and_leave},
                 {"sink", sink}};

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; count > 1 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(arguments[1], modes[i].name))
            continue;
        read_options(count - 1, arguments + 1);
        start_loop();
        modes[i].run();
        return 0;
    }
    fail("the first argument is one of fanout, publish, idle, connect, sink; see loadgen.c's head");
}
