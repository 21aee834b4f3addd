// A worker in Go, with the standard library only. Build it into the plugins folder:
//
//	go build -o PLUGINS_FOLDER/go go.go
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
)

const hello = `{"dropin":1,"name":"go","version":"1.0","concurrency":8,
"features":["state"],"commands":[
{"name":"go.greet","usage":"[WHO]","help":"A greeting."},
{"name":"go.add","usage":"A B","help":"The sum of two integers."},
{"name":"go.count","usage":"","help":"How often it was called.","writes":true},
{"name":"go.slow","usage":"SECONDS","help":"Takes its time; can be cancelled."}]}`

// A message of the host. A field that it does not have is nil.
type message struct {
	Dropin  *int
	ID      *uint64
	Call    *string
	Args    []any
	Save    *bool
	Restore json.RawMessage
	Cancel  *uint64
}

type reply map[string]any

var (
	lock    sync.Mutex // Guards all of these, and the output.
	count   int64
	running = map[uint64]context.CancelFunc{}
	output  = json.NewEncoder(os.Stdout)
)

func send(value any) {
	lock.Lock()
	defer lock.Unlock()
	// One line each. An error means that the host is gone; the end of the input follows.
	_ = output.Encode(value)
}

func text(args []any, index int) (string, error) {
	if index >= len(args) {
		return "", errors.New("an argument is missing")
	}
	if text, ok := args[index].(string); ok {
		return text, nil
	}
	return "", errors.New("argument is not valid UTF-8")
}

func integer(args []any, index int) (int64, error) {
	word, err := text(args, index)
	if err != nil {
		return 0, err
	}
	number, err := strconv.ParseInt(word, 10, 64)
	// Half of the range, so that a sum has 64 bits.
	if err != nil || number > 1<<62-1 || number < -1<<62 {
		return 0, errors.New("value is not an integer or out of range")
	}
	return number, nil
}

func greet(args []any) (any, error) {
	if len(args) == 0 {
		return "hello, world", nil
	}
	who, err := text(args, 0)
	return "hello, " + who, err
}

func add(args []any) (any, error) {
	a, err := integer(args, 0)
	if err != nil {
		return nil, err
	}
	b, err := integer(args, 1)
	return a + b, err
}

func slow(ctx context.Context, id uint64, args []any) (any, error) {
	word, err := text(args, 0)
	if err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, errors.New("value is not a valid float")
	}
	for step := 1; step <= 10; step++ {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(seconds * float64(time.Second) / 10)):
		}
		send(reply{"id": id, "progress": []int{step, 10}})
	}
	return "done", nil
}

func answer(ctx context.Context, request message) (any, error) {
	switch {
	case request.Save != nil:
		lock.Lock()
		defer lock.Unlock()
		return count, nil
	case request.Restore != nil:
		var state *int64
		if err := json.Unmarshal(request.Restore, &state); err != nil || state == nil {
			return nil, errors.New("the state is no integer")
		}
		lock.Lock()
		defer lock.Unlock()
		count = *state
		return nil, nil
	case request.Call == nil:
		return nil, errors.New("unknown request")
	}
	switch *request.Call {
	case "go.greet":
		return greet(request.Args)
	case "go.add":
		return add(request.Args)
	case "go.count":
		lock.Lock()
		defer lock.Unlock()
		count++
		return count, nil
	case "go.slow":
		return slow(ctx, *request.ID, request.Args)
	}
	return nil, fmt.Errorf("unknown command '%s'", *request.Call)
}

func serve(ctx context.Context, request message) {
	id := *request.ID
	value, err := answer(ctx, request)
	lock.Lock()
	delete(running, id)
	lock.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
		send(reply{"id": id, "error": "the command was cancelled", "kind": "CANCELLED"})
	case err != nil:
		send(reply{"id": id, "error": err.Error()})
	default:
		send(reply{"id": id, "ok": value})
	}
}

func take(request message, calls *sync.WaitGroup) {
	lock.Lock()
	defer lock.Unlock()
	switch {
	case request.ID != nil:
		ctx, cancel := context.WithCancel(context.Background())
		running[*request.ID] = cancel
		calls.Add(1)
		go func() {
			defer calls.Done()
			defer cancel()
			serve(ctx, request)
		}()
	case request.Cancel != nil:
		if cancel := running[*request.Cancel]; cancel != nil {
			cancel()
		}
	case request.Dropin != nil:
		_ = output.Encode(json.RawMessage(hello))
	}
}

func main() {
	output.SetEscapeHTML(false)
	input := bufio.NewReader(os.Stdin)
	var calls sync.WaitGroup
	for {
		line, err := input.ReadBytes('\n')
		var request message
		if json.Unmarshal(line, &request) == nil {
			take(request, &calls)
		}
		if err != nil {
			if err != io.EOF {
				fmt.Fprintln(os.Stderr, "cannot read the input:", err)
			}
			break
		}
	}
	// The end of the input: the calls that run finish.
	calls.Wait()
}
