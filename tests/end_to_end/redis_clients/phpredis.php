<?php
// phpredis: phpredis.php PORT
error_reporting(E_ALL);
ini_set('display_errors', 'stderr');

function same($got, $expected) {
    if ($got !== $expected) {
        throw new Exception(var_export($got, true) . ' is not ' . var_export($expected, true));
    }
}

$client = new Redis();
same($client->connect('127.0.0.1', (int) $argv[1]), true);
same($client->ping(), true);
$everyByte = implode('', array_map('chr', range(0, 255))) . "\r\n$1\r\n";
same($client->echo($everyByte), $everyByte);
same($client->set('text', $everyByte), true);
same($client->get('text'), $everyByte);
same($client->get('none'), false);
same($client->incr('count'), 1);
same($client->incrBy('count', 41), 42);
$pipeline = $client->pipeline();
for ($n = 0; $n < 100; $n++) {
    $pipeline->incr('count');
}
same($pipeline->exec(), range(43, 142));
same($client->info()['loading'], 0);
same($client->rawCommand('nonsense'), false);
same($client->getLastError(), "ERR unknown command 'nonsense'");
same($client->close(), true);
echo phpversion('redis'), "\n";
