// Asks once for up to 16 messages of the topic hello and acknowledges each.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

func main() {
	endpoint := "127.0.0.1:8081"
	if len(os.Args) > 1 {
		endpoint = os.Args[1]
	}
	consumer, err := rmq.NewSimpleConsumer(
		&rmq.Config{
			Endpoint:      endpoint,
			ConsumerGroup: "greeters-go",
			Credentials:   &credentials.SessionCredentials{},
		},
		rmq.WithSimpleAwaitDuration(20*time.Second), // how long an empty queue is waited for
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{"hello": rmq.SUB_ALL}),
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Start(); err != nil {
		log.Fatal(err)
	}
	defer consumer.GracefulStop()

	// What is not acknowledged within 30 seconds is delivered again.
	messages, err := consumer.Receive(context.Background(), 16, 30*time.Second)
	if err != nil {
		log.Fatal(err) // also when there was no message: code MESSAGE_NOT_FOUND
	}
	for _, message := range messages {
		fmt.Println("received", string(message.GetBody()))
		if err := consumer.Ack(context.Background(), message); err != nil {
			log.Print(err)
		}
	}
}
