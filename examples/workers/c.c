/* A worker in C, without a library. Build it into the plugins folder:
 *
 *     cc -O2 -Wall -o PLUGINS_FOLDER/c c.c
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char HELLO[] =
    "{\"dropin\":1,\"name\":\"c\",\"version\":\"1.0\",\"features\":[\"state\"],\"commands\":["
    "{\"name\":\"c.greet\",\"usage\":\"[WHO]\",\"help\":\"A greeting.\"},"
    "{\"name\":\"c.add\",\"usage\":\"A B\",\"help\":\"The sum of two integers.\"},"
    "{\"name\":\"c.count\",\"help\":\"How often it was called.\",\"writes\":true},"
    "{\"name\":\"c.slow\",\"usage\":\"SECONDS\",\"help\":\"Takes its time, can be cancelled.\"}"
    "]}\n";

static const char NOT_TEXT[] = "argument is not valid UTF-8";
static const char NOT_INTEGER[] = "value is not an integer or out of range";

/* A request that came: its line, and whether it was cancelled. */
struct request {
    struct request *next;
    uint64_t id;
    bool cancelled;
    char line[];
};

struct text {
    char *bytes;
    size_t length;
};

static int64_t count;
static struct request *waiting, *running;
static char *input;
static size_t input_length, input_capacity;
static bool ended;

static void *grown(void *memory, size_t size) {
    memory = realloc(memory, size);
    if (!memory) {
        perror("cannot allocate memory");
        exit(1);
    }
    return memory;
}

static bool is(const struct text *text, const char *other) {
    return text->length == strlen(other) && !memcmp(text->bytes, other, text->length);
}

/* ---- JSON: each function returns where a part ends, or NULL where it is no JSON. ---- */

static const char *blanks(const char *at) {
    return at + strspn(at, " \t\r");
}

static int hex(const char *at) {
    int value = 0;
    for (int digit = 0; digit < 4; digit++) {
        char c = at[digit];
        if (c >= '0' && c <= '9') value = value * 16 + c - '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f') value = value * 16 + (c | 32) - 'a' + 10;
        else return -1;
    }
    return value;
}

/* Writes a code point as UTF-8. Returns the number of bytes. */
static size_t utf8(int code, char *to) {
    if (code < 0x80) return to[0] = (char)code, 1;
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t index = size; --index > 0; code >>= 6) to[index] = (char)(0x80 | (code & 0x3f));
    to[0] = (char)((0xf0 << (4 - size)) | code);
    return size;
}

/* Reads a string. `text` gets the content, in memory of its own, unless it is NULL. */
static const char *string(const char *at, struct text *text) {
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (*at++ != '"') return NULL;
    /* The content is never longer than its JSON. */
    char *to = text ? text->bytes = grown(NULL, strlen(at)) : NULL, four[4];
    size_t length = 0;
    for (; *at != '"'; at++) {
        size_t size = 1;
        four[0] = *at;
        if ((unsigned char)*at < 0x20) goto wrong;
        if (*at == '\\') {
            const char *escape = *++at ? strchr(escapes, *at) : NULL;
            if (escape) {
                four[0] = meanings[escape - escapes];
            } else {
                int code = *at == 'u' ? hex(at + 1) : -1;
                if (code < 0) goto wrong;
                at += 4;
                if (code >= 0xd800 && code < 0xe000) {
                    int low = at[1] == '\\' && at[2] == 'u' ? hex(at + 3) : -1;
                    if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000) goto wrong;
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    at += 6;
                }
                size = utf8(code, four);
            }
        }
        if (to) memcpy(to + length, four, size);
        length += size;
    }
    if (text) text->length = length;
    return at + 1;
wrong:
    free(to);
    return NULL;
}

static const char *digits(const char *at) {
    size_t length = strspn(at, "0123456789");
    return length ? at + length : NULL;
}

static const char *number(const char *at) {
    at += *at == '-';
    at = *at == '0' ? at + 1 : digits(at);
    if (at && *at == '.') at = digits(at + 1);
    if (at && (*at | 32) == 'e') at = digits(at + 1 + (at[1] == '+' || at[1] == '-'));
    return at;
}

/* Skips a value. If it is a list, `wanted` is an index; if it is an object, a key. */
static const char *value(const char *at, int depth, const void *wanted, const char **found) {
    static const char *const words[] = {"true", "false", "null"};
    bool is_object = *at == '{';
    if (*at == '"') return string(at, NULL);
    for (size_t word = 0; word < 3; word++) {
        size_t length = strlen(words[word]);
        if (!strncmp(at, words[word], length)) return at + length;
    }
    if (!is_object && *at != '[') return number(at);
    if (depth == 0) return NULL;
    char close = is_object ? '}' : ']';
    at = blanks(at + 1);
    if (*at == close) return at + 1;
    for (size_t index = 0;; index++) {
        bool is_it = wanted && !is_object && index == *(const size_t *)wanted;
        if (is_object) {
            struct text key;
            const char *end = string(at, &key);
            if (!end) return NULL;
            is_it = wanted && is(&key, wanted);
            free(key.bytes);
            at = blanks(end);
            if (*at != ':') return NULL;
            at = blanks(at + 1);
        }
        if (is_it && found) *found = at;
        at = value(at, depth - 1, NULL, NULL);
        if (!at) return NULL;
        at = blanks(at);
        if (*at == close) return at + 1;
        if (*at != ',') return NULL;
        at = blanks(at + 1);
    }
}

/* Returns the value of a key in an object, or NULL. */
static const char *member(const char *object, const char *key) {
    const char *found = NULL;
    return object && *object == '{' && value(object, 100, key, &found) ? found : NULL;
}

static const char *item(const char *list, size_t index) {
    const char *found = NULL;
    return list && *list == '[' && value(list, 100, &index, &found) ? found : NULL;
}

static bool is_message(const char *line) {
    const char *end = *line == '{' ? value(line, 100, NULL, NULL) : NULL;
    return end && !*blanks(end);
}

/* Reads an integer of 64 bits that ends where `end` says. */
static bool integer(const char *at, const char *end, int64_t *result) {
    char *stop;
    errno = 0;
    *result = strtoll(at, &stop, 10);
    return !errno && stop == end && (*at == '-' || (*at >= '0' && *at <= '9'));
}

static bool member_integer(const char *object, const char *key, int64_t *result) {
    const char *at = member(object, key);
    return at && integer(at, value(at, 100, NULL, NULL), result);
}

/* Returns whether the text is that integer and nothing else. */
static bool text_integer(const struct text *text, int64_t *result) {
    char copy[24];
    if (!text->length || text->length >= sizeof copy) return false;
    memcpy(copy, text->bytes, text->length);
    copy[text->length] = 0;
    return integer(copy, copy + text->length, result);
}

/* ---- Messages to the host ---- */

static void put_string(const char *bytes, size_t length) {
    putchar('"');
    for (size_t index = 0; index < length; index++) {
        unsigned char c = (unsigned char)bytes[index];
        if (c == '"' || c == '\\') printf("\\%c", c);
        else if (c < 0x20) printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

static void start(const char *field) {
    printf("{\"id\":%llu,\"%s\":", (unsigned long long)running->id, field);
}

static void end(void) {
    puts("}");
    fflush(stdout);
}

static void reply_integer(int64_t reply) {
    start("ok");
    printf("%lld", (long long)reply);
    end();
}

static void reply_plain(const char *json) {
    start("ok");
    fputs(json, stdout);
    end();
}

static void fail(const char *text) {
    start("error");
    put_string(text, strlen(text));
    end();
}

/* ---- Messages from the host ---- */

static void cancel(int64_t id) {
    if (running && running->id == (uint64_t)id) running->cancelled = true;
    for (struct request *one = waiting; one; one = one->next)
        if (one->id == (uint64_t)id) one->cancelled = true;
}

static void take(const char *line) {
    int64_t id;
    line = blanks(line);
    if (!is_message(line)) return;
    if (member_integer(line, "id", &id)) {
        struct request *one = grown(NULL, sizeof *one + strlen(line) + 1), **last = &waiting;
        *one = (struct request){.id = (uint64_t)id};
        strcpy(one->line, line);
        while (*last) last = &(*last)->next;
        *last = one;
    } else if (member_integer(line, "cancel", &id)) {
        cancel(id);
    } else if (member(line, "dropin")) {
        fputs(HELLO, stdout);
        fflush(stdout);
    }
}

/* Reads what is there, and sorts it. A running call does this too, and so learns that it is
 * cancelled. */
static void read_input(void) {
    if (input_capacity - input_length < 2)
        input = grown(input, input_capacity = input_capacity * 2 + 65536);
    ssize_t size = read(0, input + input_length, input_capacity - input_length - 1);
    if (size < 0 && errno == EINTR) return;
    if (size <= 0) {
        ended = true;
        /* The last line may have no end. */
        input[input_length] = '\n';
        size = 1;
    }
    char *from = input, *new = input + input_length, *stop;
    input_length += (size_t)size;
    while ((stop = memchr(new, '\n', (size_t)(input + input_length - new)))) {
        *stop = 0;
        /* A line with a zero byte is none. */
        if (strlen(from) == (size_t)(stop - from)) take(from);
        from = new = stop + 1;
    }
    input_length -= (size_t)(from - input);
    memmove(input, from, input_length);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Waits. Returns true as soon as the running call is cancelled. */
static bool wait_for(double seconds) {
    double until = now() + seconds, left;
    while (!running->cancelled && (left = until - now()) > 0) {
        struct pollfd poller = {.fd = ended ? -1 : 0, .events = POLLIN};
        if (poll(&poller, 1, left < 1000 ? (int)(left * 1000) + 1 : 1000000) > 0) read_input();
    }
    return running->cancelled;
}

/* ---- The commands ---- */

static void greet(const struct text *who) {
    start("ok");
    char *reply = grown(NULL, who->length + 7);
    memcpy(reply, "hello, ", 7);
    memcpy(reply + 7, who->bytes, who->length);
    put_string(reply, who->length + 7);
    free(reply);
    end();
}

static void add(const struct text *one, const struct text *other) {
    int64_t a, b;
    /* Half of the range, so that the sum has 64 bits. */
    int64_t most = INT64_MAX / 2;
    if (!text_integer(one, &a) || !text_integer(other, &b) || a > most || a < -most || b > most
        || b < -most)
        return fail(NOT_INTEGER);
    reply_integer(a + b);
}

static void slow(const struct text *text) {
    char copy[32] = "", *stop;
    if (text->length && text->length < sizeof copy) memcpy(copy, text->bytes, text->length);
    double seconds = strtod(copy, &stop);
    if (stop == copy || *stop || !(seconds >= 0 && seconds < 1e9)) return fail("value is not a valid float");
    for (int step = 1; step <= 10; step++) {
        if (wait_for(seconds / 10)) {
            start("error");
            printf("\"the command was cancelled\",\"kind\":\"CANCELLED\"");
            return end();
        }
        start("progress");
        printf("[%d,10]", step);
        end();
    }
    reply_plain("\"done\"");
}

static void call(const struct text *name, const char *args) {
    /* The host has checked the number of arguments; one that is missing is empty. */
    struct text words[2] = {{NULL, 0}, {NULL, 0}};
    bool are_text = true;
    for (size_t index = 0; index < 2; index++) {
        const char *arg = item(args, index);
        if (!arg || string(arg, &words[index])) continue;
        are_text = false;
        words[index] = (struct text){NULL, 0};
    }
    if (!are_text) fail(NOT_TEXT);
    else if (is(name, "c.greet")) greet(item(args, 0) ? &words[0] : &(struct text){"world", 5});
    else if (is(name, "c.add")) add(&words[0], &words[1]);
    else if (is(name, "c.count")) reply_integer(++count);
    else if (is(name, "c.slow")) slow(&words[0]);
    else fail("unknown command");
    free(words[0].bytes);
    free(words[1].bytes);
}

static void serve(const char *line) {
    struct text name;
    const char *wanted = member(line, "call");
    if (wanted && string(wanted, &name)) {
        call(&name, member(line, "args"));
        free(name.bytes);
    } else if (member(line, "save")) {
        reply_integer(count);
    } else if (member(line, "restore")) {
        if (member_integer(line, "restore", &count)) reply_plain("null");
        else fail("the state is no integer");
    } else {
        fail("unknown request");
    }
}

int main(void) {
    while (!ended || waiting) {
        if (!waiting) {
            read_input();
            continue;
        }
        running = waiting;
        waiting = waiting->next;
        serve(running->line);
        free(running);
        running = NULL;
    }
}
