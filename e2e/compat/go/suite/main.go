// The Go SDK against one server: every case prints "ok NAME" or "FAIL NAME: why".
//
// The cases run at the same time, since most of their time is waiting. Case NAME uses the topic
// PREFIX-NAME and the group of the same name. The exit status is 1 when a case failed.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

const limit = 170 * time.Second

type outcome struct {
	name string
	err  error
}

func main() {
	endpoint := flag.String("endpoint", "", "`HOST:PORT` of the server")
	prefix := flag.String("prefix", "", "of topics and groups")
	messages := flag.Int("messages", 10000, "messages of the round trip")
	tls := flag.String("tls", "on", "on or off; on is the default of this SDK")
	accessKey := flag.String("access-key", "", "name of the user who signs")
	secretKey := flag.String("secret-key", "", "and its secret")
	chosen := flag.String("cases", strings.Join(caseNames(), ","), "which cases to run")
	flag.Parse()
	rmq.EnableSsl = *tls == "on"

	suite := &suite{endpoint: *endpoint, prefix: *prefix, messages: *messages,
		accessKey: *accessKey, secretKey: *secretKey}
	outcomes := make(chan outcome)
	running := map[string]bool{}
	for _, name := range strings.Split(*chosen, ",") {
		running[name] = true
		go func() { outcomes <- outcome{name, suite.run(name)} }()
	}

	failed := false
	for timeout := time.After(limit); len(running) > 0; {
		select {
		case one := <-outcomes:
			delete(running, one.name)
			if one.err == nil {
				fmt.Println("ok", one.name)
				continue
			}
			fmt.Printf("FAIL %s: %s\n", one.name, strings.ReplaceAll(one.err.Error(), "\n", " "))
			failed = true
		case <-timeout:
			for name := range running {
				fmt.Printf("FAIL %s: still running after %v\n", name, limit)
			}
			os.Exit(1)
		}
	}
	if failed {
		os.Exit(1)
	}
}
