package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
)

type suite struct {
	endpoint  string
	prefix    string
	messages  int
	accessKey string
	secretKey string
}

var cases = map[string]func(*suite, string) error{
	"hello":       (*suite).hello,
	"round-trip":  (*suite).roundTrip,
	"tags":        (*suite).tags,
	"sql":         (*suite).sql,
	"redelivery":  (*suite).redelivery,
	"invisible":   (*suite).invisible,
	"push":        (*suite).push,
	"push-retry":  (*suite).pushRetry,
	"dead-letter": (*suite).deadLetter,
	"errors":      (*suite).errors,
	"fifo":        (*suite).fifo,
	"delay":       (*suite).delay,
	"lite":        (*suite).lite,
	"priority":    (*suite).priority,
	"transaction": (*suite).transaction,
	"restart":     (*suite).restart,
}

func caseNames() []string { return slices.Sorted(maps.Keys(cases)) }

func (s *suite) run(name string) error {
	body, ok := cases[name]
	if !ok {
		return errors.New("there is no such case")
	}
	return body(s, s.prefix+"-"+name)
}

// One message there and back.
func (s *suite) hello(name string) error {
	producer, consumer, stop, err := s.producerAndConsumer(name)
	if err != nil {
		return err
	}
	defer stop()
	id, err := send(producer, name, "", "hello")
	if err != nil {
		return err
	}
	view, err := receiveOne(consumer, longLease, 20*time.Second)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("message id", id, view.GetMessageId()),
		equal("body", "hello", string(view.GetBody())),
		equal("delivery attempt", 1, view.GetDeliveryAttempt()),
		consumer.Ack(context.Background(), view))
}

// Many messages of all sizes, each received intact and only once.
func (s *suite) roundTrip(name string) error {
	producer, consumer, stop, err := s.producerAndConsumer(name)
	if err != nil {
		return err
	}
	defer stop()

	var next atomic.Int64
	produce := func() error {
		for {
			i := int(next.Add(1)) - 1
			if i >= s.messages {
				return nil
			}
			if _, err := producer.Send(context.Background(), sample(name, i)); err != nil {
				return fmt.Errorf("send of %d: %w", i, err)
			}
		}
	}
	var seen sync.Map
	var count atomic.Int64
	consume := func() error {
		for int(count.Load()) < s.messages {
			views, err := receive(consumer, 32, longLease)
			if err != nil {
				return err
			}
			for _, view := range views {
				i, err := checkSample(view)
				if err != nil {
					return err
				}
				if _, twice := seen.LoadOrStore(i, true); twice {
					return fmt.Errorf("message %d came twice", i)
				}
				if err := consumer.Ack(context.Background(), view); err != nil {
					return err
				}
				count.Add(1)
			}
		}
		return nil
	}
	work := slices.Repeat([]func() error{produce, consume}, 4)
	if err := atOnce(work...); err != nil {
		return err
	}
	left, err := receive(consumer, 32, longLease)
	return errors.Join(err, equal("messages after the last", 0, len(left)))
}

// "a || b" lets through a and b; a tag of the same hash as another is still another tag.
func (s *suite) tags(name string) error {
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	for _, tag := range []string{"a", "Aa", "BB", "b", "c", "ab", ""} {
		if _, err := send(producer, name, tag, "tag "+tag); err != nil {
			return err
		}
	}
	return errors.Join(
		s.expectBodies(name, name, "a || b", rmq.TAG, "tag a", "tag b"),
		s.expectBodies(name, name+"-hash", "Aa", rmq.TAG, "tag Aa"))
}

// A predicate over properties and the tag lets through what fulfils it.
func (s *suite) sql(name string) error {
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	for _, price := range []string{"5", "15", "25"} {
		message := &rmq.Message{Topic: name, Body: []byte(price)}
		message.AddProperty("price", price)
		if _, err := producer.Send(context.Background(), message); err != nil {
			return err
		}
	}
	if _, err := send(producer, name, "vip", "no price"); err != nil {
		return err
	}
	return s.expectBodies(name, name, "price BETWEEN 10 AND 20 OR TAGS = 'vip'", rmq.SQL92, "15", "no price")
}

func (s *suite) expectBodies(topic, group, filter string, kind rmq.FilterExpressionType, want ...string) error {
	consumer, err := s.filteringConsumer(topic, group, rmq.NewFilterExpressionWithType(filter, kind))
	if err != nil {
		return err
	}
	defer consumer.GracefulStop()
	var got []string
	for empty := 0; empty < 4 && (empty < 1 || len(got) < len(want)); {
		views, err := receive(consumer, 32, longLease)
		if err != nil {
			return err
		}
		if len(views) == 0 {
			empty++
		}
		for _, view := range views {
			got = append(got, string(view.GetBody()))
			if err := consumer.Ack(context.Background(), view); err != nil {
				return err
			}
		}
	}
	slices.Sort(got)
	return equal("bodies of "+filter, fmt.Sprint(want), fmt.Sprint(got))
}

// A message that is not acknowledged comes again when its lease is over.
func (s *suite) redelivery(name string) error {
	producer, consumer, stop, err := s.producerAndConsumer(name)
	if err != nil {
		return err
	}
	defer stop()
	id, err := send(producer, name, "", "again")
	if err != nil {
		return err
	}
	first, err := receiveOne(consumer, shortLease, 20*time.Second)
	if err != nil {
		return err
	}
	start := time.Now()
	second, err := receiveOne(consumer, longLease, 30*time.Second)
	if err != nil {
		return err
	}
	if err := errors.Join(
		between("until it came again", 9*time.Second, 20*time.Second, time.Since(start)),
		equal("message id", id, second.GetMessageId()),
		equal("first attempt", 1, first.GetDeliveryAttempt()),
		equal("second attempt", 2, second.GetDeliveryAttempt()),
		consumer.Ack(context.Background(), second)); err != nil {
		return err
	}
	left, err := receive(consumer, 1, shortLease)
	return errors.Join(err, equal("messages after the ack", 0, len(left)))
}

// ChangeInvisibleDuration shortens and lengthens a lease.
func (s *suite) invisible(name string) error {
	producer, consumer, stop, err := s.producerAndConsumer(name)
	if err != nil {
		return err
	}
	defer stop()
	if _, err := send(producer, name, "", "lease"); err != nil {
		return err
	}
	view, err := receiveOne(consumer, longLease, 20*time.Second)
	if err != nil {
		return err
	}
	if err := consumer.ChangeInvisibleDuration(view, 3*time.Second); err != nil {
		return err
	}
	start := time.Now()
	view, err = receiveOne(consumer, shortLease, 20*time.Second)
	if err != nil {
		return err
	}
	if err := errors.Join(
		between("after shortening", 2*time.Second, 15*time.Second, time.Since(start)),
		equal("delivery attempt", 2, view.GetDeliveryAttempt()),
		consumer.ChangeInvisibleDuration(view, 25*time.Second)); err != nil {
		return err
	}
	start = time.Now()
	view, err = receiveOne(consumer, longLease, 40*time.Second)
	if err != nil {
		return err
	}
	return errors.Join(
		between("after lengthening", 24*time.Second, 35*time.Second, time.Since(start)),
		equal("delivery attempt", 3, view.GetDeliveryAttempt()),
		consumer.Ack(context.Background(), view))
}

// A listener works on several messages at the same time and gets each once.
func (s *suite) push(name string) error {
	const count = 500
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	var active, together, deliveries atomic.Int32
	bodies := make(chan string, 2*count)
	consumer, err := s.pushConsumer(name, func(view *rmq.MessageView) bool {
		if active.Add(1) > 1 {
			together.Store(1)
		}
		time.Sleep(20 * time.Millisecond)
		active.Add(-1)
		deliveries.Add(1)
		bodies <- string(view.GetBody())
		return true
	})
	if err != nil {
		return err
	}
	defer consumer.GracefulStop()
	for i := range count {
		if _, err := send(producer, name, "", fmt.Sprint("push ", i)); err != nil {
			return err
		}
	}
	distinct := map[string]bool{}
	for timeout := time.After(60 * time.Second); len(distinct) < count; {
		select {
		case body := <-bodies:
			distinct[body] = true
		case <-timeout:
			return fmt.Errorf("%d of %d arrived", len(distinct), count)
		}
	}
	time.Sleep(2 * time.Second)
	return errors.Join(
		equal("listener called concurrently", 1, together.Load()),
		equal("deliveries", count, deliveries.Load()))
}

// What a listener refuses comes again, one attempt higher, after the delays that the group was made
// with: 2 s, then 4 s.
func (s *suite) pushRetry(name string) error {
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	attempts := make(chan int32, 100)
	var mutex sync.Mutex
	var times []time.Time
	consumer, err := s.pushConsumer(name, func(view *rmq.MessageView) bool {
		mutex.Lock()
		times = append(times, time.Now())
		mutex.Unlock()
		attempts <- view.GetDeliveryAttempt()
		return view.GetDeliveryAttempt() >= 3
	})
	if err != nil {
		return err
	}
	defer consumer.GracefulStop()
	if _, err := send(producer, name, "", "retry"); err != nil {
		return err
	}
	if err := expectAttempts(attempts, 3); err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	mutex.Lock()
	defer mutex.Unlock()
	return errors.Join(
		equal("attempts after success", 0, len(attempts)),
		between("after the first failure", 1900*time.Millisecond, 3500*time.Millisecond,
			times[1].Sub(times[0])),
		between("after the second failure", 3900*time.Millisecond, 6*time.Second,
			times[2].Sub(times[1])))
}

// The group allows 2 attempts: then the message lies in the group's dead letter topic.
func (s *suite) deadLetter(name string) error {
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	attempts := make(chan int32, 100)
	consumer, err := s.pushConsumer(name, func(view *rmq.MessageView) bool {
		attempts <- view.GetDeliveryAttempt()
		return false
	})
	if err != nil {
		return err
	}
	defer consumer.GracefulStop()
	message := &rmq.Message{Topic: name, Body: []byte("dead")}
	message.SetTag("t")
	message.SetKeys("k")
	message.AddProperty("ключ", "значение")
	if _, err := producer.Send(context.Background(), message); err != nil {
		return err
	}
	if err := expectAttempts(attempts, 2); err != nil {
		return err
	}
	graveyard, err := s.deadLetterConsumer(name)
	if err != nil {
		return err
	}
	defer graveyard.GracefulStop()
	view, err := receiveOne(graveyard, longLease, 60*time.Second)
	if err != nil {
		return err
	}
	if view.GetTag() == nil {
		return errors.New("the tag is lost")
	}
	return errors.Join(
		equal("body", "dead", string(view.GetBody())),
		equal("tag", "t", *view.GetTag()),
		equal("keys", "[k]", fmt.Sprint(view.GetKeys())),
		equal("property", "значение", view.GetProperties()["ключ"]),
		graveyard.Ack(context.Background(), view),
		equal("attempts beyond the second", 0, len(attempts)))
}

// The dead letter topic comes into being with its first message.
func (s *suite) deadLetterConsumer(group string) (rmq.SimpleConsumer, error) {
	for start := time.Now(); ; time.Sleep(time.Second) {
		consumer, err := s.simpleConsumer("%DLQ%"+group, group+"-graveyard", "*")
		if err == nil || time.Since(start) > time.Minute {
			return consumer, err
		}
	}
}

// Messages of one group are done in order, whatever fails: by a simple consumer of the ordered group
// NAME-simple, and by a push consumer of the ordered group NAME.
func (s *suite) fifo(name string) error {
	const groups, count = 6, 15
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	consumer, err := s.simpleConsumer(name, name+"-simple", "*")
	if err != nil {
		return err
	}
	defer consumer.GracefulStop()
	pushed, received := newOrder(), newOrder()
	push, err := s.pushConsumer(name, func(view *rmq.MessageView) bool {
		return pushed.done(view, 5)
	})
	if err != nil {
		return err
	}
	defer push.GracefulStop()
	for number := range count {
		for group := range groups {
			message := &rmq.Message{Topic: name, Body: []byte(fmt.Sprint(number))}
			message.SetMessageGroup(fmt.Sprintf("g%d", group))
			if _, err := producer.Send(context.Background(), message); err != nil {
				return err
			}
		}
	}
	for received.count() < groups*count {
		views, err := receive(consumer, 16, longLease)
		if err != nil {
			return err
		}
		skipped := map[string]bool{} // groups of this batch that wait for their first message
		for _, view := range views {
			group := *view.GetMessageGroup()
			if !skipped[group] && received.done(view, 4) {
				err = consumer.Ack(context.Background(), view)
			} else {
				skipped[group] = true
				err = consumer.ChangeInvisibleDuration(view, time.Second)
			}
			if err != nil {
				return err
			}
		}
	}
	for start := time.Now(); pushed.count() < groups*count; time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 90*time.Second {
			return fmt.Errorf("the push consumer did %d of %d", pushed.count(), groups*count)
		}
	}
	return errors.Join(received.check("simple", count), pushed.check("push", count))
}

// order is what was done of each message group.
type order struct {
	mutex  sync.Mutex
	bodies map[string][]string
	failed map[string]bool
}

func newOrder() *order { return &order{bodies: map[string][]string{}, failed: map[string]bool{}} }

// done fails for each `every`-th message of a group the first time it comes.
func (o *order) done(view *rmq.MessageView, every int) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	group, body := *view.GetMessageGroup(), string(view.GetBody())
	number, err := strconv.Atoi(body)
	if err == nil && number%every == 2 && !o.failed[group+body] {
		o.failed[group+body] = true
		return false
	}
	o.bodies[group] = append(o.bodies[group], body)
	return true
}

func (o *order) count() int {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	count := 0
	for _, bodies := range o.bodies {
		count += len(bodies)
	}
	return count
}

func (o *order) check(who string, count int) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	want := make([]string, count)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	for group, bodies := range o.bodies {
		if !slices.Equal(bodies, want) {
			return fmt.Errorf("%s consumer did %v of %s", who, bodies, group)
		}
	}
	return nil
}

// Bad sends are refused with the code an application would look at.
func (s *suite) errors(name string) error {
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	refused := func(what string, want v2.Code, topic, tag, body string) error {
		_, err := send(producer, topic, tag, body)
		return equal("code for "+what, want, codeOf(err))
	}
	if err := errors.Join(
		refused("an unknown topic", v2.Code_TOPIC_NOT_FOUND, s.prefix+"-absent", "", "x"),
		refused("an empty body", v2.Code_MESSAGE_BODY_EMPTY, name, "", ""),
		refused("a bar in the tag", v2.Code_ILLEGAL_MESSAGE_TAG, name, "a|b", "x"),
		refused("a control character", v2.Code_ILLEGAL_MESSAGE_TAG, name, "a\x01b", "x")); err != nil {
		return err
	}
	// The SDK itself refuses this one, by the limit in the server's settings.
	if _, err = send(producer, name, "", string(make([]byte, largestBodyBytes+1))); err == nil {
		return errors.New("a body over 4 MiB was accepted")
	}
	_, err = send(producer, name, "", "the producer still works")
	return err
}

// A delayed message comes when it is due; one that is recalled before never comes.
func (s *suite) delay(name string) error {
	producer, consumer, stop, err := s.producerAndConsumer(name)
	if err != nil {
		return err
	}
	defer stop()
	delayed := func(body string, delay time.Duration) (*rmq.SendReceipt, error) {
		message := &rmq.Message{Topic: name, Body: []byte(body)}
		message.SetDelayTimestamp(time.Now().Add(delay))
		receipts, err := producer.Send(context.Background(), message)
		if err != nil {
			return nil, err
		}
		return receipts[0], nil
	}
	wrong, err := delayed("wrong", 4*time.Second)
	if err != nil {
		return err
	}
	start := time.Now()
	sent, err := delayed("right", 5*time.Second)
	if err != nil {
		return err
	}
	id, err := producer.Recall(context.Background(), name, wrong.RecallHandle)
	if err != nil {
		return fmt.Errorf("recall: %w", err)
	}
	view, err := receiveOne(consumer, longLease, 20*time.Second)
	if err != nil {
		return err
	}
	took := time.Since(start)
	if took < 4900*time.Millisecond || took > 8*time.Second {
		return fmt.Errorf("a message that is due in 5 s came after %v", took)
	}
	if view.GetDeliveryTimestamp() == nil {
		return errors.New("no delivery timestamp")
	}
	_, tooLate := producer.Recall(context.Background(), name, sent.RecallHandle)
	_, tooFar := delayed("far", 25*time.Hour)
	left, err := receive(consumer, 32, longLease)
	return errors.Join(err,
		equal("recalled id", wrong.MessageID, id),
		equal("message id", sent.MessageID, view.GetMessageId()),
		equal("body", "right", string(view.GetBody())),
		equal("code of a late recall", v2.Code_MESSAGE_NOT_FOUND, codeOf(tooLate)),
		equal("code of 25 hours", v2.Code_ILLEGAL_DELIVERY_TIME, codeOf(tooFar)),
		equal("messages after the last", 0, len(left)),
		consumer.Ack(context.Background(), view))
}

// What is most urgent comes first.
func (s *suite) priority(name string) error {
	producer, consumer, stop, err := s.producerAndConsumer(name)
	if err != nil {
		return err
	}
	defer stop()
	for _, priority := range []int32{1, 3, 2} {
		message := &rmq.Message{Topic: name, Body: []byte(fmt.Sprint(priority))}
		if err := message.SetPriority(priority); err != nil {
			return err
		}
		if _, err := producer.Send(context.Background(), message); err != nil {
			return err
		}
	}
	probe, err := s.simpleConsumer(name, name+"-probe", "*")
	if err != nil {
		return err
	}
	defer probe.GracefulStop()
	for range 3 { // until all are there
		if _, err := receiveOne(probe, longLease, 20*time.Second); err != nil {
			return err
		}
	}
	views, err := receive(consumer, 32, longLease)
	if err != nil {
		return err
	}
	var bodies string
	for _, view := range views {
		bodies += string(view.GetBody())
		err = errors.Join(err, consumer.Ack(context.Background(), view))
	}
	return errors.Join(err, equal("bodies", "321", bodies))
}

// What is committed is received, what is rolled back never; what is left open the server asks about.
func (s *suite) transaction(name string) error {
	var asked atomic.Int32
	producer, err := rmq.NewProducer(s.config(""), rmq.WithTopics(name),
		rmq.WithTransactionChecker(&rmq.TransactionChecker{
			Check: func(view *rmq.MessageView) rmq.TransactionResolution {
				switch asked.Add(1); string(view.GetBody()) {
				case "checked, committed":
					return rmq.COMMIT
				case "checked, rolled back":
					return rmq.ROLLBACK
				}
				return rmq.UNKNOWN
			},
		}))
	if err != nil {
		return err
	}
	if err = producer.Start(); err != nil {
		return err
	}
	defer func() { _ = producer.GracefulStop() }()
	consumer, err := s.simpleConsumer(name, name, "*")
	if err != nil {
		return err
	}
	defer func() { _ = consumer.GracefulStop() }()
	prepare := func(body string) (rmq.Transaction, error) {
		transaction := producer.BeginTransaction()
		_, err := producer.SendWithTransaction(context.Background(),
			&rmq.Message{Topic: name, Body: []byte(body)}, transaction)
		return transaction, err
	}
	committed, err := prepare("committed")
	if err != nil {
		return err
	}
	rolledBack, err := prepare("rolled back")
	if err != nil {
		return err
	}
	for _, body := range []string{"checked, committed", "checked, rolled back"} {
		if _, err = prepare(body); err != nil {
			return err
		}
	}
	if err = errors.Join(committed.Commit(), rolledBack.RollBack()); err != nil {
		return err
	}
	_, refused := send(producer, name, "", "not of a transaction")
	var bodies []string
	for range 2 {
		view, err := receiveOne(consumer, longLease, 60*time.Second)
		if err != nil {
			return err
		}
		bodies = append(bodies, string(view.GetBody()))
		if err = consumer.Ack(context.Background(), view); err != nil {
			return err
		}
	}
	left, err := receive(consumer, 32, longLease)
	if refused == nil {
		err = errors.Join(err, errors.New("a message without a transaction was accepted"))
	}
	return errors.Join(err,
		equal("received", "committed; checked, committed", strings.Join(bodies, "; ")),
		equal("messages after the last", 0, len(left)),
		committed.Commit(), // a second time changes nothing
		equal("questions, at least 2", true, asked.Load() >= 2))
}

// A consumer gets the messages of the lightweight topics it subscribes to, each in its order; one of
// the exclusive group NAME-one goes to the last that subscribed to it.
func (s *suite) lite(name string) error {
	const count = 5
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	sendLite := func(liteTopic, body string) error {
		message := &rmq.Message{Topic: name, Body: []byte(body)}
		message.SetLiteTopic(liteTopic)
		_, err := producer.Send(context.Background(), message)
		return err
	}
	seen := newLiteOrder()
	consumer, err := s.litePushConsumer(name, name, seen.done)
	if err != nil {
		return err
	}
	defer consumer.GracefulStop()
	err = errors.Join(consumer.SubscribeLite("a"), consumer.SubscribeLite("b"), sendLite("c", "0"))
	for number := range count {
		err = errors.Join(err, sendLite("a", fmt.Sprint(number)), sendLite("b", fmt.Sprint(number)))
	}
	if err = errors.Join(err, seen.await(2*count)); err != nil {
		return err
	}
	if err := consumer.SubscribeLite("a$b"); codeOf(err) != v2.Code_ILLEGAL_LITE_TOPIC {
		return fmt.Errorf("a name that is none: %v", err)
	}
	err = errors.Join(consumer.UnSubscribeLite("b"), sendLite("b", "late"),
		consumer.SubscribeLite("c"), seen.await(2*count+1))
	if err != nil {
		return err
	}

	lost, got := newLiteOrder(), newLiteOrder()
	first, err := s.litePushConsumer(name, name+"-one", lost.done)
	if err != nil {
		return err
	}
	defer first.GracefulStop()
	second, err := s.litePushConsumer(name, name+"-one", got.done)
	if err != nil {
		return err
	}
	defer second.GracefulStop()
	err = errors.Join(first.SubscribeLite("one"), second.SubscribeLite("one"), sendLite("one", "0"),
		got.await(1))
	return errors.Join(err, seen.check("a", count), seen.check("b", count), seen.check("c", 1),
		lost.check("one", 0), got.check("one", 1))
}

// liteOrder is what was done of each lightweight topic; the second message of each fails once.
type liteOrder struct {
	mutex  sync.Mutex
	bodies map[string][]string
	failed map[string]bool
}

func newLiteOrder() *liteOrder {
	return &liteOrder{bodies: map[string][]string{}, failed: map[string]bool{}}
}

func (o *liteOrder) done(view *rmq.MessageView) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	topic, body := view.GetLiteTopic(), string(view.GetBody())
	if body == "1" && !o.failed[topic] {
		o.failed[topic] = true
		return false
	}
	o.bodies[topic] = append(o.bodies[topic], body)
	return true
}

func (o *liteOrder) await(count int) error {
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		o.mutex.Lock()
		done := 0
		for _, bodies := range o.bodies {
			done += len(bodies)
		}
		o.mutex.Unlock()
		if done >= count {
			return nil
		}
		if time.Since(start) > time.Minute {
			return fmt.Errorf("%d of %d messages of lightweight topics came", done, count)
		}
	}
}

func (o *liteOrder) check(topic string, count int) error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	var want []string
	for number := range count {
		want = append(want, fmt.Sprint(number))
	}
	return equal("messages of "+topic, fmt.Sprint(want), fmt.Sprint(o.bodies[topic]))
}

// The server is killed and started again under running clients. Asks for it on standard output with
// the line "restart" and waits for a line on standard input. Every acknowledged message must arrive
// at a push and at a simple consumer.
func (s *suite) restart(name string) error {
	producer, err := s.producer(name)
	if err != nil {
		return err
	}
	defer producer.GracefulStop()
	simple, err := s.simpleConsumer(name, name+"-simple", "*")
	if err != nil {
		return err
	}
	defer simple.GracefulStop()
	var sent, pushed, received bodies
	push, err := s.pushConsumer(name, func(view *rmq.MessageView) bool {
		pushed.add(string(view.GetBody()))
		return true
	})
	if err != nil {
		return err
	}
	defer push.GracefulStop()

	sending, stopSending := context.WithCancel(context.Background())
	defer stopSending()
	receiving, stopReceiving := context.WithCancel(context.Background())
	defer stopReceiving()
	go func() {
		for i := 0; sending.Err() == nil; i++ {
			if _, err := send(producer, name, "", fmt.Sprint(i)); err != nil {
				time.Sleep(500 * time.Millisecond) // the server is away
				continue
			}
			sent.add(fmt.Sprint(i))
			time.Sleep(10 * time.Millisecond)
		}
	}()
	go func() {
		for receiving.Err() == nil {
			views, err := receive(simple, 32, shortLease)
			if err != nil {
				time.Sleep(500 * time.Millisecond) // the server is away
			}
			for _, view := range views {
				received.add(string(view.GetBody()))
				_ = simple.Ack(receiving, view) // lost with the server: it comes again
			}
		}
	}()
	if err := await(30*time.Second, func() bool { return sent.count() > 100 }); err != nil {
		return fmt.Errorf("sends before the restart: %w", err)
	}
	fmt.Println("restart")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return fmt.Errorf("nobody restarted the server: %w", err)
	}
	before := sent.count()
	if err := await(time.Minute, func() bool { return sent.count() > before+100 }); err != nil {
		return fmt.Errorf("sends after the restart: %w", err)
	}
	stopSending()
	if err := await(time.Minute, func() bool { return sent.missingIn(&pushed) == 0 }); err != nil {
		return fmt.Errorf("push: %d of %d lost: %w", sent.missingIn(&pushed), sent.count(), err)
	}
	if err := await(time.Minute, func() bool { return sent.missingIn(&received) == 0 }); err != nil {
		return fmt.Errorf("simple: %d of %d lost: %w", sent.missingIn(&received), sent.count(), err)
	}
	return nil
}

// bodies is a set that may be used from several goroutines.
type bodies struct {
	mutex sync.Mutex
	set   map[string]bool
}

func (b *bodies) add(body string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.set == nil {
		b.set = map[string]bool{}
	}
	b.set[body] = true
}

func (b *bodies) count() int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return len(b.set)
}

func (b *bodies) copied() map[string]bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return maps.Clone(b.set)
}

func (b *bodies) missingIn(other *bodies) int {
	there, missing := other.copied(), 0
	for body := range b.copied() {
		if !there[body] {
			missing++
		}
	}
	return missing
}

func await(limit time.Duration, holds func() bool) error {
	for start := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > limit {
			return fmt.Errorf("not within %v", limit)
		}
	}
	return nil
}

// expectAttempts waits for the deliveries 1 to `last`.
func expectAttempts(attempts <-chan int32, last int32) error {
	for want := int32(1); want <= last; want++ {
		select {
		case got := <-attempts:
			if err := equal("delivery attempt", want, got); err != nil {
				return err
			}
		case <-time.After(60 * time.Second):
			return fmt.Errorf("no delivery attempt %d", want)
		}
	}
	return nil
}

// atOnce runs the functions at the same time and returns the first error.
func atOnce(functions ...func() error) error {
	errs := make(chan error, len(functions))
	for _, function := range functions {
		go func() { errs <- function() }()
	}
	for range functions {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func equal[T comparable](what string, want, got T) error {
	if want != got {
		return fmt.Errorf("%s: expected %v, got %v", what, want, got)
	}
	return nil
}

func between(what string, low, high, got time.Duration) error {
	if got < low || high < got {
		return fmt.Errorf("time %s: expected %v to %v, got %v", what, low, high, got)
	}
	return nil
}
