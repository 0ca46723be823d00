// Sends one message to the topic hello.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

func main() {
	endpoint := "127.0.0.1:8081"
	if len(os.Args) > 1 {
		endpoint = os.Args[1]
	}
	producer, err := rmq.NewProducer(
		&rmq.Config{Endpoint: endpoint, Credentials: &credentials.SessionCredentials{}},
		rmq.WithTopics("hello"), // without a topic Start waits for ever
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := producer.Start(); err != nil {
		log.Fatal(err)
	}
	defer producer.GracefulStop()

	message := &rmq.Message{Topic: "hello", Body: []byte("Hello from Go")}
	message.SetTag("greeting")
	message.SetKeys("greeting-1")
	receipts, err := producer.Send(context.Background(), message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent", receipts[0].MessageID)
}
