/* hiredis: hiredis PORT */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(int is_true, const char *what) {
    if (!is_true) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

/* Expects a reply of this type and, for an integer, this value; for others, these bytes. */
static void reply(redisReply *reply, int type, long long number, const char *bytes, size_t length) {
    expect(reply != NULL && reply->type == type, "a reply of the right type");
    if (type == REDIS_REPLY_INTEGER) {
        expect(reply->integer == number, "the right number");
    } else {
        expect(reply->len == length && memcmp(reply->str, bytes, length) == 0, "the right bytes");
    }
    freeReplyObject(reply);
}

int main(int count, char **words) {
    expect(count == 2, "a port");
    redisContext *client = redisConnect("127.0.0.1", atoi(words[1]));
    expect(client != NULL && client->err == 0, "a connection");
    char every_byte[256];
    for (int byte = 0; byte < 256; byte++) every_byte[byte] = (char)byte;
    reply(redisCommand(client, "PING"), REDIS_REPLY_STATUS, 0, "PONG", 4);
    reply(redisCommand(client, "ECHO %b", every_byte, sizeof every_byte), REDIS_REPLY_STRING, 0,
          every_byte, sizeof every_byte);
    reply(redisCommand(client, "SET text %b", every_byte, sizeof every_byte), REDIS_REPLY_STATUS, 0,
          "OK", 2);
    reply(redisCommand(client, "GET text"), REDIS_REPLY_STRING, 0, every_byte, sizeof every_byte);
    redisReply *none = redisCommand(client, "GET none");
    expect(none != NULL && none->type == REDIS_REPLY_NIL, "no value");
    freeReplyObject(none);
    reply(redisCommand(client, "INCR count"), REDIS_REPLY_INTEGER, 1, NULL, 0);
    reply(redisCommand(client, "INCRBY count 41"), REDIS_REPLY_INTEGER, 42, NULL, 0);
    for (int n = 0; n < 100; n++) redisAppendCommand(client, "INCR count");
    for (int n = 0; n < 100; n++) {
        void *sum = NULL;
        expect(redisGetReply(client, &sum) == REDIS_OK, "a reply");
        reply(sum, REDIS_REPLY_INTEGER, 43 + n, NULL, 0);
    }
    const char *error = "ERR unknown command 'nonsense'";
    reply(redisCommand(client, "nonsense"), REDIS_REPLY_ERROR, 0, error, strlen(error));
    redisFree(client);
    printf("%d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return 0;
}
