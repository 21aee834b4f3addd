<?php
// Predis: predis.php PORT
error_reporting(E_ALL);
ini_set('display_errors', 'stderr');
require 'Predis/Autoloader.php';
Predis\Autoloader::register();

function same($got, $expected) {
    if ($got !== $expected) {
        throw new Exception(var_export($got, true) . ' is not ' . var_export($expected, true));
    }
}

$client = new Predis\Client("tcp://127.0.0.1:$argv[1]");
same($client->ping()->getPayload(), 'PONG');
$everyByte = implode('', array_map('chr', range(0, 255))) . "\r\n$1\r\n";
same($client->echo($everyByte), $everyByte);
same($client->set('text', $everyByte)->getPayload(), 'OK');
same($client->get('text'), $everyByte);
same($client->get('none'), null);
same($client->incr('count'), 1);
same($client->incrby('count', 41), 42);
$sums = $client->pipeline(function ($pipeline) {
    for ($n = 0; $n < 100; $n++) {
        $pipeline->incr('count');
    }
});
same($sums, range(43, 142));
same($client->info()['Persistence']['loading'], '0');
same($client->executeRaw(['nonsense'], $failed), "ERR unknown command 'NONSENSE'");
same($failed, true);
$client->disconnect();
echo Predis\Client::VERSION, "\n";
