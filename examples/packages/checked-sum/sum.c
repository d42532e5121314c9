#include <stdio.h>
#include <stdlib.h>

/* Prints the sum of its arguments. */
int main(int argc, char **argv)
{
    long sum = 0;

    for (int i = 1; i < argc; i++)
        sum += atol(argv[i]);
    return printf("%ld\n", sum) < 0;
}
