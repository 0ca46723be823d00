// sdk_load sends with RocketMQ's official Go SDK, against whichever server answers at -endpoint,
// and prints what came of it as one line of JSON: rate, latency percentiles, errors, own CPU time.
// Many senders share few producers; each has one message on the way at a time.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

var (
	endpoint  = flag.String("endpoint", "127.0.0.1:8081", "HOST:PORT of the server, plaintext")
	topic     = flag.String("topic", "bench", "an existing topic")
	size      = flag.Int("size", 128, "bytes of a message's body")
	senders   = flag.Int("senders", 64, "messages on the way at a time")
	producers = flag.Int("producers", 4, "producers, each with a connection")
	messages  = flag.Int64("messages", 0, "how many to send; 0: as many as fit in -seconds")
	seconds   = flag.Float64("seconds", 30, "how long to measure")
	warmup    = flag.Float64("warmup", 0, "seconds of sending before")
	once      = flag.Bool("once", false, "send one message as soon as the server accepts it, and end")
)

// One sender's share, merged at the end. Counts are of whole microseconds, so percentiles are exact
// to one; what is above the last counter is in the last.
type share struct {
	counts   []int64
	max      int64
	messages int64
	errors   int64
	all      int64 // with those of the warm-up
	failure  error
}

const counters = 2_000_000

func (s *share) add(taken time.Duration) {
	us := taken.Microseconds()
	s.counts[min(us, counters-1)]++
	s.max = max(s.max, us)
	s.messages++
}

func quantile(counts []int64, messages int64, q float64) int64 {
	rank := int64(math.Ceil(q * float64(messages)))
	for us, seen := 0, int64(0); us < len(counts); us++ {
		if seen += counts[us]; seen >= rank {
			return int64(us)
		}
	}
	return 0
}

func startProducer() (rmq.Producer, error) {
	producer, err := rmq.NewProducer(
		&rmq.Config{Endpoint: *endpoint, Credentials: &credentials.SessionCredentials{}},
		rmq.WithTopics(*topic))
	if err != nil {
		return nil, err
	}
	return producer, producer.Start()
}

func send(producer rmq.Producer, body []byte) error {
	context, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := producer.Send(context, &rmq.Message{Topic: *topic, Body: body})
	return err
}

// sendOnce returns as soon as a message was accepted. The SDK starts no producer without a server,
// and is slow to try again, so the port is watched first.
func sendOnce(body []byte) {
	for ; ; time.Sleep(5 * time.Millisecond) {
		probe, err := net.Dial("tcp", *endpoint)
		if err != nil {
			continue
		}
		_ = probe.Close()
		producer, err := startProducer()
		if err == nil {
			err = send(producer, body)
		}
		if err == nil {
			return
		}
	}
}

// run sends until `end`, or until `left` is used up. What began before `begin` is warm-up.
func (s *share) run(producer rmq.Producer, body []byte, left *atomic.Int64, begin, end time.Time) {
	s.counts = make([]int64, counters)
	for left.Add(-1) >= 0 {
		start := time.Now()
		if *messages == 0 && !start.Before(end) {
			return
		}
		err := send(producer, body)
		if err == nil {
			s.all++
		}
		switch {
		case start.Before(begin):
		case err != nil:
			s.errors++
			s.failure = err
		default:
			s.add(time.Since(start))
		}
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func load() error {
	body := make([]byte, *size)
	_, _ = rand.Read(body)
	if *once {
		sendOnce(body)
		return nil
	}
	started := make([]rmq.Producer, *producers)
	for i := range started {
		producer, err := startProducer()
		if err != nil {
			return err
		}
		started[i] = producer
	}
	var left atomic.Int64
	left.Store(math.MaxInt64)
	if *messages > 0 {
		left.Store(*messages)
	}
	begin := time.Now().Add(time.Duration(*warmup * float64(time.Second)))
	end := begin.Add(time.Duration(*seconds * float64(time.Second)))
	shares := make([]share, *senders)
	var running sync.WaitGroup
	for i := range shares {
		running.Add(1)
		go func() {
			defer running.Done()
			shares[i].run(started[i%len(started)], body, &left, begin, end)
		}()
	}
	running.Wait()
	taken := time.Since(begin).Seconds()
	for _, producer := range started {
		_ = producer.GracefulStop()
	}
	return report(shares, taken)
}

func report(shares []share, taken float64) error {
	total := share{counts: make([]int64, counters)}
	for _, s := range shares {
		for us, count := range s.counts {
			total.counts[us] += count
		}
		total.max = max(total.max, s.max)
		total.messages += s.messages
		total.errors += s.errors
		total.all += s.all
		if s.failure != nil {
			total.failure = s.failure
		}
	}
	if total.failure != nil {
		fmt.Fprintln(os.Stderr, "sdk_load: the last error:", total.failure)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"messages": total.messages, "seconds": taken, "rate": float64(total.messages) / taken,
		"latency_us": map[string]int64{
			"p50":   quantile(total.counts, total.messages, 0.5),
			"p99":   quantile(total.counts, total.messages, 0.99),
			"p99_9": quantile(total.counts, total.messages, 0.999),
			"max":   total.max,
		},
		"errors": total.errors, "all_messages": total.all, "client_cpu_seconds": cpuSeconds(),
	})
}

func main() {
	flag.Parse()
	_ = os.Setenv("mq.consoleAppender.enabled", "false")
	rmq.EnableSsl = false
	rmq.ResetLogger()
	if err := load(); err != nil {
		fmt.Fprintln(os.Stderr, "sdk_load:", err)
		os.Exit(1)
	}
}
