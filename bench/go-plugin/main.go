// Calls of a HashiCorp go-plugin from its host, over net/rpc or gRPC. The program is both: the host
// starts it once more as the plugin.
//
// Usage: go-plugin-echo netrpc|grpc CALLERS SECONDS BYTES
//
// It prints one line of JSON: calls a second, p50 and p99 in microseconds, and the processor time of
// both processes for a call in microseconds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/ioutil"
	"net/rpc"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang/protobuf/ptypes/wrappers"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Echoer is the interface between host and plugin.
type Echoer interface {
	Echo(text []byte) ([]byte, error)
}

// echo is the plugin's implementation.
type echo struct{}

func (echo) Echo(text []byte) ([]byte, error) { return text, nil }

var handshake = plugin.HandshakeConfig{
	ProtocolVersion: 1, MagicCookieKey: "BENCH_PLUGIN", MagicCookieValue: "echo",
}

var plugins = map[int]plugin.PluginSet{
	1: {"netrpc": &netRPC{}},
	2: {"grpc": &overGRPC{}},
}

func main() {
	if os.Getenv(handshake.MagicCookieKey) != "" {
		serve()
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "go-plugin-echo: %v\n", err)
		os.Exit(1)
	}
}

func serve() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: plugins,
		GRPCServer:       plugin.DefaultGRPCServer,
		Logger:           hclog.NewNullLogger(),
	})
}

// Figures of one load.
type figures struct {
	Rate float64 `json:"rate"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	CPU  float64 `json:"cpu"`
}

func run(arguments []string) error {
	if len(arguments) != 4 {
		return errors.New("usage: go-plugin-echo netrpc|grpc CALLERS SECONDS BYTES")
	}
	callers, err := strconv.Atoi(arguments[1])
	if err != nil || callers < 1 {
		return fmt.Errorf("cannot parse the number of callers '%s'", arguments[1])
	}
	seconds, err := strconv.ParseFloat(arguments[2], 64)
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(arguments[3])
	if err != nil || size < 0 {
		return fmt.Errorf("cannot parse the number of bytes '%s'", arguments[3])
	}
	protocol := arguments[0]
	version, is := map[string]int{"netrpc": 1, "grpc": 2}[protocol]
	if !is {
		return fmt.Errorf("no such protocol: %s", protocol)
	}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: map[int]plugin.PluginSet{version: plugins[version]},
		Cmd:              exec.Command(os.Args[0]),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC, plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
	})
	defer client.Kill()
	connection, err := client.Client()
	if err != nil {
		return err
	}
	found, err := connection.Dispense(protocol)
	if err != nil {
		return err
	}
	child := client.ReattachConfig().Pid
	echoer := found.(Echoer)
	duration := time.Duration(seconds * float64(time.Second))
	// The runtime and the connection warm up.
	if _, _, err := load(echoer, callers, duration/5, size); err != nil {
		return err
	}
	before, err := processorTime(os.Getpid(), child)
	if err != nil {
		return err
	}
	times, took, err := load(echoer, callers, duration, size)
	if err != nil {
		return err
	}
	after, err := processorTime(os.Getpid(), child)
	if err != nil {
		return err
	}
	sort.Slice(times, func(one, other int) bool { return times[one] < times[other] })
	micros := func(part float64) float64 {
		return float64(times[int(float64(len(times)-1)*part)]) / 1e3
	}
	return json.NewEncoder(os.Stdout).Encode(figures{
		Rate: float64(len(times)) / took.Seconds(),
		P50:  micros(0.5),
		P99:  micros(0.99),
		CPU:  (after - before) * 1e6 / float64(len(times)),
	})
}

// load calls in this many goroutines for this time, and returns the time of each call.
func load(
	echoer Echoer, callers int, duration time.Duration, size int,
) ([]time.Duration, time.Duration, error) {
	text := []byte(strings.Repeat("x", size))
	all := make([][]time.Duration, callers)
	failures := make([]error, callers)
	var group sync.WaitGroup
	started := time.Now()
	for caller := range all {
		group.Add(1)
		go func(caller int) {
			defer group.Done()
			for called := time.Now(); called.Sub(started) < duration; {
				reply, err := echoer.Echo(text)
				if err == nil && len(reply) != size {
					err = errors.New("the reply is not the text")
				}
				if err != nil {
					failures[caller] = err
					return
				}
				now := time.Now()
				all[caller] = append(all[caller], now.Sub(called))
				called = now
			}
		}(caller)
	}
	group.Wait()
	took := time.Since(started)
	var times []time.Duration
	for caller := range all {
		if failures[caller] != nil {
			return nil, took, failures[caller]
		}
		times = append(times, all[caller]...)
	}
	if len(times) == 0 {
		return nil, took, errors.New("no call ended in time")
	}
	return times, took, nil
}

// processorTime returns the seconds that these processes have used.
func processorTime(processes ...int) (float64, error) {
	const ticks = 100.0
	var sum float64
	for _, process := range processes {
		stat, err := ioutil.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
		if err != nil {
			return 0, err
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, field := range fields[11:13] {
			used, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return 0, err
			}
			sum += used / ticks
		}
	}
	return sum, nil
}

// netRPC is the plugin over net/rpc.
type netRPC struct{}

func (*netRPC) Server(*plugin.MuxBroker) (interface{}, error) { return &rpcServer{}, nil }

func (*netRPC) Client(_ *plugin.MuxBroker, client *rpc.Client) (interface{}, error) {
	return &rpcClient{client}, nil
}

type rpcServer struct{ echo echo }

func (server *rpcServer) Echo(text []byte, reply *[]byte) error {
	var err error
	*reply, err = server.echo.Echo(text)
	return err
}

type rpcClient struct{ client *rpc.Client }

func (client *rpcClient) Echo(text []byte) ([]byte, error) {
	var reply []byte
	err := client.client.Call("Plugin.Echo", text, &reply)
	return reply, err
}

// overGRPC is the plugin over gRPC.
type overGRPC struct{ plugin.NetRPCUnsupportedPlugin }

func (*overGRPC) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&service, echo{})
	return nil
}

func (*overGRPC) GRPCClient(
	_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn,
) (interface{}, error) {
	return &grpcClient{connection}, nil
}

type grpcClient struct{ connection *grpc.ClientConn }

func (client *grpcClient) Echo(text []byte) ([]byte, error) {
	reply := new(wrappers.BytesValue)
	asked := &wrappers.BytesValue{Value: text}
	err := client.connection.Invoke(context.Background(), "/bench.Echo/Echo", asked, reply)
	return reply.Value, err
}

// service is what protoc would generate from `rpc Echo(BytesValue) returns (BytesValue)`.
var service = grpc.ServiceDesc{
	ServiceName: "bench.Echo",
	HandlerType: (*Echoer)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: handleEcho}},
}

func handleEcho(
	server interface{}, _ context.Context, decode func(interface{}) error,
	_ grpc.UnaryServerInterceptor,
) (interface{}, error) {
	asked := new(wrappers.BytesValue)
	if err := decode(asked); err != nil {
		return nil, err
	}
	text, err := server.(Echoer).Echo(asked.Value)
	return &wrappers.BytesValue{Value: text}, err
}
