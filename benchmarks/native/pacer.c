/* An agent that writes COUNT stamped lines to stdout, RATE a second: "@number:nanoseconds" and some text. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int count = atoi(argv[1]);
    uint64_t step = 1000000000u / (uint64_t)atoi(argv[2]);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t due = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    for (int i = 0; i < count; i++) {
        due += step;
        struct timespec until = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        clock_gettime(CLOCK_MONOTONIC, &t);
        char line[128];
        int size = snprintf(line, sizeof line, "@%08d:%020llu the quick brown fox\n", i,
                            (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec);
        if (write(1, line, (size_t)size) != size) return 1;
    }
    return 0;
}
