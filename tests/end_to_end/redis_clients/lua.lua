-- redis-lua: lua.lua PORT
local redis = require("redis")
redis.commands.nonsense = redis.command("nonsense")

local function same(got, expected)
  assert(got == expected, tostring(got) .. " is not " .. tostring(expected))
end

local client = redis.connect("127.0.0.1", tonumber(arg[1]))
same(client:ping(), true)
local bytes = {}
for byte = 0, 255 do
  bytes[#bytes + 1] = string.char(byte)
end
local every_byte = table.concat(bytes) .. "\r\n$1\r\n"
same(client:echo(every_byte), every_byte)
same(client:set("text", every_byte), true)
same(client:get("text"), every_byte)
same(client:get("none"), nil)
same(client:incr("count"), 1)
same(client:incrby("count", 41), 42)
local sums = client:pipeline(function(pipeline)
  for _ = 1, 100 do
    pipeline:incr("count")
  end
end)
same(table.concat(sums, " "):sub(1, 8), "43 44 45")
same(sums[100], 142)
same(client:info().loading or client:info().persistence.loading, "0")
local done, problem = pcall(client.nonsense, client)
same(done, false)
assert(tostring(problem):find("unknown command 'NONSENSE'", 1, true), tostring(problem))
client:quit()
print((redis._VERSION:gsub("^redis%-lua ", "")))
