#include <greet.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    char text[256];

    greet_format(text, sizeof text, argc > 1 ? argv[1] : "mesh");
    return puts(text) < 0;
}
