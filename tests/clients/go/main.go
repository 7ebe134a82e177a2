// Official Go client (github.com/apache/rocketmq-clients/golang/v5): send, receive (simple) and
// push. See ../README.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
)

const (
	receivers = 4
	await     = 5 * time.Second
	invisible = 15 * time.Second
	sendRetry = time.Minute
)

type arguments struct {
	endpoint, topic, group, prefix string
	count, expect                  int
	rate, timeout, quiet           float64
	tls                            bool
}

func (a *arguments) config() *rmq.Config {
	return &rmq.Config{
		Endpoint:      a.endpoint,
		ConsumerGroup: a.group,
		Credentials:   &credentials.SessionCredentials{},
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

var printing sync.Mutex

func emit(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(text))
}

func note(format string, values ...any) {
	clock := time.Now().UTC().Format(time.TimeOnly)
	fmt.Fprintf(os.Stderr, clock+" go: "+format+"\n", values...)
}

// retry runs action until it succeeds and returns how many tries that took, or the last error
// after giveUp.
func retry(what string, giveUp time.Duration, action func() error) (int, error) {
	end := time.Now().Add(giveUp)
	for tries := 1; ; tries++ {
		err := action()
		if err == nil {
			return tries, nil
		}
		note("%s failed, try %d: %v", what, tries, err)
		if time.Now().After(end) {
			return tries, err
		}
		time.Sleep(500 * time.Millisecond)
	}
}

type client interface {
	Start() error
	GracefulStop() error
}

// started makes and starts a client; one that failed to start cannot be started again, so each
// try makes a new one.
func started[C client](giveUp time.Duration, build func() (C, error)) C {
	var made C
	_, err := retry("startup", giveUp, func() (err error) {
		if made, err = build(); err == nil {
			err = made.Start()
		}
		return err
	})
	if err != nil {
		os.Exit(1)
	}
	return made
}

func send(args *arguments) (bool, func() error) {
	producer := started(sendRetry, func() (rmq.Producer, error) {
		return rmq.NewProducer(args.config(), rmq.WithTopics(args.topic))
	})
	begin := time.Now()
	for i := range args.count {
		if args.rate > 0 {
			time.Sleep(time.Until(begin.Add(seconds(float64(i) / args.rate))))
		}
		message := &rmq.Message{Topic: args.topic, Body: specBody(args.prefix, i)}
		message.SetTag(specTag(i))
		message.SetKeys(specKeys(args.prefix, i)...)
		for key, value := range specProperties(args.prefix, i) {
			message.AddProperty(key, value)
		}
		var receipts []*rmq.SendReceipt
		clock := time.Now()
		tries, err := retry(fmt.Sprintf("send %d", i), sendRetry, func() (err error) {
			receipts, err = producer.Send(context.Background(), message)
			return err
		})
		if err != nil {
			return false, producer.GracefulStop
		}
		emit(map[string]any{"i": i, "id": receipts[0].MessageID, "tries": tries,
			"ms": float64(time.Since(clock).Microseconds()) / 1000})
	}
	note("sent %d in %v", args.count, time.Since(begin))
	return true, producer.GracefulStop
}

// tally checks and prints every delivery, and knows when the expected ones were seen.
type tally struct {
	sync.Mutex
	args *arguments
	seen map[string]bool
	last time.Time
	end  time.Time
}

func newTally(args *arguments) *tally {
	now := time.Now()
	return &tally{args: args, seen: map[string]bool{}, last: now, end: now.Add(seconds(args.timeout))}
}

func (t *tally) delivered(view *rmq.MessageView) {
	prefix := view.GetProperties()["prefix"]
	i, err := strconv.Atoi(view.GetProperties()["index"])
	if err != nil {
		i = -1
	}
	wrong := []string{}
	check := func(name string, same bool) {
		if !same {
			wrong = append(wrong, name)
		}
	}
	check("tag", view.GetTag() != nil && *view.GetTag() == specTag(i))
	keys, expected := slices.Sorted(slices.Values(view.GetKeys())), specKeys(prefix, i)
	slices.Sort(expected)
	check("keys", slices.Equal(keys, expected))
	check("properties", maps.Equal(view.GetProperties(), specProperties(prefix, i)))
	check("body", bytes.Equal(view.GetBody(), specBody(prefix, i)))
	emit(map[string]any{"i": i, "prefix": prefix, "id": view.GetMessageId(),
		"attempt": view.GetDeliveryAttempt(), "ok": len(wrong) == 0, "wrong": wrong,
		"offset": view.GetOffset()})
	t.Lock()
	defer t.Unlock()
	t.seen[fmt.Sprintf("%s/%d", prefix, i)] = true
	t.last = time.Now()
}

func (t *tally) complete() bool { return len(t.seen) >= t.args.expect }

func (t *tally) over() bool {
	t.Lock()
	defer t.Unlock()
	return time.Now().After(t.end) ||
		t.complete() && time.Since(t.last) > seconds(t.args.quiet)
}

func (t *tally) wait() bool {
	for !t.over() {
		time.Sleep(50 * time.Millisecond)
	}
	t.Lock()
	defer t.Unlock()
	note("saw %d of %d", len(t.seen), t.args.expect)
	return t.complete()
}

func receive(args *arguments) (bool, func() error) {
	tally := newTally(args)
	consumer := started(seconds(args.timeout), func() (rmq.SimpleConsumer, error) {
		return rmq.NewSimpleConsumer(args.config(), rmq.WithSimpleAwaitDuration(await),
			rmq.WithSimpleSubscriptionExpressions(
				map[string]*rmq.FilterExpression{args.topic: rmq.SUB_ALL}))
	})
	loop := func() {
		for !tally.over() {
			views, err := consumer.Receive(context.Background(), 32, invisible)
			var status *rmq.ErrRpcStatus
			if errors.As(err, &status) && status.GetCode() == int32(v2.Code_MESSAGE_NOT_FOUND) {
				continue // This client reports an empty poll as an error.
			}
			if err != nil {
				note("receive: %v", err)
				time.Sleep(500 * time.Millisecond)
			}
			for _, view := range views {
				tally.delivered(view)
				if err := consumer.Ack(context.Background(), view); err != nil {
					note("ack: %v", err)
				}
			}
		}
	}
	for range receivers {
		go loop()
	}
	return tally.wait(), consumer.GracefulStop
}

func push(args *arguments) (bool, func() error) {
	tally := newTally(args)
	listener := &rmq.FuncMessageListener{Consume: func(view *rmq.MessageView) rmq.ConsumerResult {
		tally.delivered(view)
		return rmq.SUCCESS
	}}
	consumer := started(seconds(args.timeout), func() (rmq.PushConsumer, error) {
		return rmq.NewPushConsumer(args.config(), rmq.WithPushAwaitDuration(await),
			rmq.WithPushMessageListener(listener), rmq.WithPushSubscriptionExpressions(
				map[string]*rmq.FilterExpression{args.topic: rmq.SUB_ALL}))
	})
	return tally.wait(), consumer.GracefulStop
}

func parse() (string, *arguments) {
	args := &arguments{}
	flags := flag.NewFlagSet("skua-official-go", flag.ExitOnError)
	flags.StringVar(&args.endpoint, "endpoint", "", "HOST:PORT")
	flags.StringVar(&args.topic, "topic", "", "topic")
	flags.StringVar(&args.group, "group", "", "consumer group")
	flags.StringVar(&args.prefix, "prefix", "", "names the sender")
	flags.IntVar(&args.count, "count", 0, "messages to send")
	flags.IntVar(&args.expect, "expect", 0, "distinct messages to wait for")
	flags.Float64Var(&args.rate, "rate", 0, "messages per second, 0 = no limit")
	flags.Float64Var(&args.timeout, "timeout", 60, "seconds")
	flags.Float64Var(&args.quiet, "quiet", 2, "seconds without a message before leaving")
	flags.BoolVar(&args.tls, "tls", false, "TLS")
	if len(os.Args) < 2 || flags.Parse(os.Args[2:]) != nil {
		os.Exit(2)
	}
	return os.Args[1], args
}

func main() {
	mode, args := parse()
	rmq.EnableSsl = args.tls
	run := map[string]func(*arguments) (bool, func() error){
		"send": send, "receive": receive, "push": push}[mode]
	if run == nil {
		note("unknown mode %q", mode)
		os.Exit(2)
	}
	complete, stop := run(args)
	// Say good-bye to the server, but do not wait for its long polls to end.
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case <-stopped:
	case <-time.After(3 * time.Second):
	}
	if !complete {
		os.Exit(1)
	}
}
