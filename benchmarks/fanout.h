/* Publishing, with or without subscribers, and checking what arrives: exactly once and in order. */
#ifndef FANOUT_H
#define FANOUT_H

void fanout(void);
void publish_only(void);

#endif
