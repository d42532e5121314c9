#include <ctype.h>
#include <stdio.h>

/* Repeats its standard input in capital letters. */
int main(void)
{
    int c;

    while ((c = getchar()) != EOF)
        putchar(toupper(c));
    return 0;
}
