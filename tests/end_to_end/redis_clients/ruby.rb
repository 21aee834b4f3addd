# redis-rb: ruby.rb PORT
$VERBOSE = false
require "redis"

def same(got, expected)
  raise "#{got.inspect} is not #{expected.inspect}" unless got == expected
end

client = Redis.new(port: Integer(ARGV[0]))
same(client.ping, "PONG")
every_byte = (0..255).to_a.pack("C*") + "\r\n$1\r\n".b
same(client.echo(every_byte).b, every_byte)
same(client.set("text", every_byte), "OK")
same(client.get("text").b, every_byte)
same(client.get("none"), nil)
same(client.incr("count"), 1)
same(client.incrby("count", 41), 42)
sums = client.pipelined { |pipeline| 100.times { pipeline.incr("count") } }
same(sums, (43..142).to_a)
same(client.info["loading"], "0")
begin
  client.call("nonsense")
  raise "an unknown command was answered"
rescue Redis::CommandError => error
  same(error.message, "ERR unknown command 'nonsense'")
end
client.close
puts Redis::VERSION
