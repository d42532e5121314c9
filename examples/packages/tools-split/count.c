#include <stdio.h>

/* Counts the bytes of its standard input. */
int main(void)
{
    unsigned long count = 0;

    while (getchar() != EOF)
        count++;
    return printf("%lu\n", count) < 0;
}
