// Has a listener called for every message of the topic hello, until it is interrupted.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

func main() {
	endpoint := "127.0.0.1:8081"
	if len(os.Args) > 1 {
		endpoint = os.Args[1]
	}
	consumer, err := rmq.NewPushConsumer(
		&rmq.Config{
			Endpoint:      endpoint,
			ConsumerGroup: "greeters-go",
			Credentials:   &credentials.SessionCredentials{},
		},
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{"hello": rmq.SUB_ALL}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{
			Consume: func(message *rmq.MessageView) rmq.ConsumerResult {
				fmt.Println("received", string(message.GetBody()))
				return rmq.SUCCESS // FAILURE: deliver it again after a while
			},
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Start(); err != nil {
		log.Fatal(err)
	}
	defer consumer.GracefulStop()

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
}
