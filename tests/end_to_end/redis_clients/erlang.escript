#!/usr/bin/env escript
%% eredis: erlang.escript PORT
main([Port]) ->
    {ok, Client} = eredis:start_link("127.0.0.1", list_to_integer(Port)),
    {ok, <<"PONG">>} = eredis:q(Client, ["PING"]),
    EveryByte = list_to_binary([lists:seq(0, 255), "\r\n$1\r\n"]),
    {ok, EveryByte} = eredis:q(Client, ["ECHO", EveryByte]),
    {ok, <<"OK">>} = eredis:q(Client, ["SET", "text", EveryByte]),
    {ok, EveryByte} = eredis:q(Client, ["GET", "text"]),
    {ok, undefined} = eredis:q(Client, ["GET", "none"]),
    {ok, <<"1">>} = eredis:q(Client, ["INCR", "count"]),
    {ok, <<"42">>} = eredis:q(Client, ["INCRBY", "count", 41]),
    Sums = [{ok, integer_to_binary(N)} || N <- lists:seq(43, 142)],
    Sums = eredis:qp(Client, lists:duplicate(100, ["INCR", "count"])),
    {ok, Info} = eredis:q(Client, ["INFO"]),
    {_, _} = binary:match(Info, <<"loading:0\r\n">>),
    {error, <<"ERR unknown command 'nonsense'">>} = eredis:q(Client, ["nonsense"]),
    ok = eredis:stop(Client),
    ok = application:load(eredis),
    {ok, Version} = application:get_key(eredis, vsn),
    io:format("~s~n", [Version]).
