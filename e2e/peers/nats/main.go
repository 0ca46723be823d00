// load is a load generator for JetStream, in place of `nats bench js pub`, whose module not every
// Go proxy has. Every client has a connection and a subject of its own; all go to one stream.
// It prints what came of it as one line of JSON.
//
//	-mode async   PublishAsync of the official client, an acknowledgement for each message
//	-mode fast    fast batch publishing (server 2.14 and newer), an acknowledgement for many
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	url     = flag.String("url", "nats://127.0.0.1:4222", "the server")
	action  = flag.String("action", "load", "create (the stream), count (what it holds), or load")
	mode    = flag.String("mode", "fast", "async or fast")
	size    = flag.Int("size", 128, "bytes of a message's payload")
	clients = flag.Int("clients", 4, "connections")
	window  = flag.Int("window", 4096, "unacknowledged messages of a client")
	seconds = flag.Float64("seconds", 30, "how long to measure")
	warmup  = flag.Float64("warmup", 0, "seconds of sending before")
	once    = flag.Bool("once", false, "send one message as soon as the server accepts it, and end")
)

const stream = "bench"

// One client's share, merged at the end. Counts are of whole microseconds, so percentiles are exact
// to one; what is above the last counter is in the last.
type share struct {
	counts   []int64
	max      int64
	messages int64
	errors   int64
	all      int64 // with those of the warm-up
	failure  error
}

const counters = 5_000_000

// acked counts one message that was sent at `sent`; those from before `begin` are warm-up.
func (s *share) acked(sent, begin, now time.Time) {
	s.all++
	if sent.Before(begin) {
		return
	}
	us := now.Sub(sent).Microseconds()
	s.counts[min(us, counters-1)]++
	s.max = max(s.max, us)
	s.messages++
}

func (s *share) failed(err error) {
	s.errors++
	s.failure = err
}

// async keeps `window` publishes on the way and takes their acknowledgements in order.
func (s *share) async(js jetstream.JetStream, subject string, body []byte, begin, end time.Time) {
	type publish struct {
		sent   time.Time
		future jetstream.PubAckFuture
	}
	// One is with the taker and one being published; above its window the client gives up soon.
	pending := make(chan publish, max(1, *window-2))
	var taker sync.WaitGroup
	taker.Add(1)
	go func() {
		defer taker.Done()
		for p := range pending {
			select {
			case <-p.future.Ok():
				s.acked(p.sent, begin, time.Now())
			case err := <-p.future.Err():
				s.failed(err)
			}
		}
	}()
	for now := time.Now(); now.Before(end); now = time.Now() {
		future, err := js.PublishAsync(subject, body)
		if err != nil {
			s.failed(err)
			break
		}
		pending <- publish{now, future}
	}
	close(pending)
	taker.Wait()
}

// flow is what the server answers in a fast batch: up to which message it stored, or a final
// acknowledgement (count), or an error.
type flow struct {
	Type  string `json:"type"`
	Seq   int64  `json:"seq"`
	Count int64  `json:"count"`
	Error *struct {
		Description string `json:"description"`
	} `json:"error"`
}

// The operations of a fast batch, as the reply subject carries them.
const (
	opStart  = "0"
	opAppend = "1"
	opCommit = "2"
)

// fast sends one batch that lasts the whole run. The reply subject of each message says batch,
// wanted distance of acknowledgements, what to do about gaps, sequence and operation.
func (s *share) fast(nc *nats.Conn, subject string, body []byte, begin, end time.Time) {
	inbox := nc.NewInbox()
	id := strings.TrimPrefix(inbox, nats.InboxPrefix)
	prefix := inbox + "." + id + "." + strconv.Itoa(max(1, *window/4)) + ".fail."
	answers, err := nc.SubscribeSync(inbox + ".>")
	if err == nil {
		err = answers.SetPendingLimits(-1, -1)
	}
	if err != nil {
		s.failed(err)
		return
	}
	sent := make([]time.Time, *window) // by sequence modulo
	stored, last, committed := int64(0), int64(0), false
	take := func(wait time.Duration) bool {
		answer, err := answers.NextMsg(wait)
		if err != nil {
			s.failed(err)
			return false
		}
		var f flow
		if err := json.Unmarshal(answer.Data, &f); err != nil || f.Error != nil || f.Type == "gap" {
			s.failed(errors.New(string(answer.Data)))
			return false
		}
		if f.Count > 0 {
			f.Seq, committed = f.Count, true
		}
		now := time.Now()
		for ; stored < f.Seq; stored++ {
			s.acked(sent[(stored+1)%int64(*window)], begin, now)
		}
		return true
	}
	publish := func(operation string) bool {
		last++
		sent[last%int64(*window)] = time.Now()
		reply := prefix + strconv.FormatInt(last, 10) + "." + operation + ".$FI"
		if err := nc.PublishRequest(subject, reply, body); err != nil {
			s.failed(err)
			return false
		}
		return true
	}
	if !publish(opStart) || !take(10*time.Second) { // its answer says the distance only
		return
	}
	for time.Now().Before(end) {
		if !publish(opAppend) {
			return
		}
		for last-stored >= int64(*window)-1 {
			if !take(10 * time.Second) {
				return
			}
		}
	}
	for ok := publish(opCommit); ok && !committed; {
		ok = take(10 * time.Second)
	}
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

func cpuSeconds() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func load() error {
	body := make([]byte, *size)
	_, _ = rand.Read(body)
	begin := time.Now().Add(time.Duration(*warmup * float64(time.Second)))
	end := begin.Add(time.Duration(*seconds * float64(time.Second)))
	shares := make([]share, *clients)
	var running sync.WaitGroup
	for i := range shares {
		nc, err := nats.Connect(*url)
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(*window))
		if err != nil {
			return err
		}
		running.Add(1)
		go func() {
			defer running.Done()
			s, subject := &shares[i], fmt.Sprintf("bench.%d", i%8)
			s.counts = make([]int64, counters)
			if *mode == "async" {
				s.async(js, subject, body, begin, end)
			} else {
				s.fast(nc, subject, body, begin, end)
			}
		}()
	}
	running.Wait()
	return report(shares, time.Since(begin).Seconds())
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
		fmt.Fprintln(os.Stderr, "load: the last error:", total.failure)
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

// sendOnce publishes one message, from the moment there is no server yet.
func sendOnce() error {
	for {
		nc, err := nats.Connect(*url)
		if err == nil {
			_, err = nc.Request("bench.0", make([]byte, *size), time.Second)
			nc.Close()
		}
		if err == nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// withStream is `create` and `count`.
func withStream() error {
	nc, err := nats.Connect(*url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if *action == "count" {
		found, err := js.Stream(limited, stream)
		if err == nil {
			fmt.Println(found.CachedInfo().State.Msgs)
		}
		return err
	}
	_, err = js.CreateStream(limited, jetstream.StreamConfig{
		Name: stream, Subjects: []string{"bench.*"}, Storage: jetstream.FileStorage,
		AllowBatchPublish: true})
	return err
}

func main() {
	flag.Parse()
	err := errors.New("no such action: " + *action)
	switch {
	case *once:
		err = sendOnce()
	case *action == "load":
		err = load()
	case *action == "create" || *action == "count":
		err = withStream()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
