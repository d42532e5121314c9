#ifndef GREET_H
#define GREET_H

/* Writes a greeting for `name` to `out`, at most `size` bytes with the final zero; returns its full length. */
int greet_format(char *out, unsigned long size, const char *name);

#endif
