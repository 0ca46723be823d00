package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
	v2 "github.com/apache/rocketmq-clients/golang/v5/protocol/v2"
)

const (
	pollDuration = 5 * time.Second
	shortLease   = 10 * time.Second // the server's smallest
	longLease    = 5 * time.Minute  // outlasts the suite: a message seen twice under it is the server's fault
)

func (s *suite) config(group string) *rmq.Config {
	return &rmq.Config{
		Endpoint:      s.endpoint,
		ConsumerGroup: group,
		Credentials:   &credentials.SessionCredentials{AccessKey: s.accessKey, AccessSecret: s.secretKey},
	}
}

// A producer needs its topics before it starts: without one the SDK waits for ever.
func (s *suite) producer(topic string) (rmq.Producer, error) {
	producer, err := rmq.NewProducer(s.config(""), rmq.WithTopics(topic))
	if err != nil {
		return nil, err
	}
	return producer, producer.Start()
}

func (s *suite) simpleConsumer(topic, group, tags string) (rmq.SimpleConsumer, error) {
	return s.filteringConsumer(topic, group, rmq.NewFilterExpression(tags))
}

func (s *suite) filteringConsumer(topic, group string, filter *rmq.FilterExpression) (rmq.SimpleConsumer, error) {
	consumer, err := rmq.NewSimpleConsumer(s.config(group),
		rmq.WithSimpleAwaitDuration(pollDuration),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	if err != nil {
		return nil, err
	}
	return consumer, consumer.Start()
}

func (s *suite) pushConsumer(name string, succeeds func(*rmq.MessageView) bool) (rmq.PushConsumer, error) {
	consumer, err := rmq.NewPushConsumer(s.config(name),
		rmq.WithPushAwaitDuration(pollDuration),
		rmq.WithPushConsumptionThreadCount(8),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{name: rmq.SUB_ALL}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{
			Consume: func(view *rmq.MessageView) rmq.ConsumerResult {
				if succeeds(view) {
					return rmq.SUCCESS
				}
				return rmq.FAILURE
			},
		}))
	if err != nil {
		return nil, err
	}
	return consumer, consumer.Start()
}

func (s *suite) litePushConsumer(topic, group string, succeeds func(*rmq.MessageView) bool) (rmq.LitePushConsumer, error) {
	consumer, err := rmq.NewLitePushConsumer(s.config(group),
		rmq.NewLitePushConsumerConfig(topic, 30*time.Second),
		rmq.WithPushAwaitDuration(pollDuration),
		rmq.WithPushConsumptionThreadCount(8),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{
			Consume: func(view *rmq.MessageView) rmq.ConsumerResult {
				if succeeds(view) {
					return rmq.SUCCESS
				}
				return rmq.FAILURE
			},
		}))
	if err != nil {
		return nil, err
	}
	return consumer, consumer.Start()
}

// producerAndConsumer starts both on the topic and the group `name`; `stop` ends them.
func (s *suite) producerAndConsumer(name string) (rmq.Producer, rmq.SimpleConsumer, func(), error) {
	producer, err := s.producer(name)
	if err != nil {
		return nil, nil, nil, err
	}
	consumer, err := s.simpleConsumer(name, name, "*")
	if err != nil {
		return nil, nil, nil, errors.Join(err, producer.GracefulStop())
	}
	return producer, consumer, func() {
		_ = consumer.GracefulStop()
		_ = producer.GracefulStop()
	}, nil
}

func send(producer rmq.Producer, topic, tag, body string) (string, error) {
	message := &rmq.Message{Topic: topic, Body: []byte(body)}
	if tag != "" {
		message.SetTag(tag)
	}
	receipts, err := producer.Send(context.Background(), message)
	if err != nil {
		return "", err
	}
	return receipts[0].MessageID, nil
}

// receive gives an empty batch where the SDK makes an error of it.
func receive(consumer rmq.SimpleConsumer, count int32, lease time.Duration) ([]*rmq.MessageView, error) {
	views, err := consumer.Receive(context.Background(), count, lease)
	if codeOf(err) == v2.Code_MESSAGE_NOT_FOUND {
		return nil, nil
	}
	return views, err
}

func receiveOne(consumer rmq.SimpleConsumer, lease, within time.Duration) (*rmq.MessageView, error) {
	for start := time.Now(); time.Since(start) < within; {
		views, err := receive(consumer, 1, lease)
		if err != nil {
			return nil, err
		}
		if len(views) > 0 {
			return views[0], nil
		}
	}
	return nil, fmt.Errorf("no message within %v", within)
}

func codeOf(err error) v2.Code {
	if status, ok := rmq.AsErrRpcStatus(err); ok {
		return v2.Code(status.GetCode())
	}
	return v2.Code_CODE_UNSPECIFIED
}
