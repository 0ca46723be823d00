package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

const (
	largestBodyBytes = 4 << 20
	mostProperties   = 128
)

var tags = []string{"plain", "étiquette", "标签"}

// sample makes message number i of the round trip. Everything but the random body follows from i,
// so a receiver can tell what it should have got. The body's SHA-256 travels in a property.
func sample(topic string, i int) *rmq.Message {
	body := make([]byte, bodyBytes(i))
	_, _ = rand.Read(body) // never fails, as its documentation promises
	message := &rmq.Message{Topic: topic, Body: body}
	message.SetTag(tags[i%len(tags)])
	message.SetKeys(keys(i)...)
	for key, value := range properties(i, digest(body)) {
		message.AddProperty(key, value)
	}
	return message
}

// checkSample tells which message this is, and an error when any part of it is not what was sent.
func checkSample(view *rmq.MessageView) (int, error) {
	i, err := strconv.Atoi(view.GetProperties()["index"])
	if err != nil {
		return 0, fmt.Errorf("the property 'index': %w", err)
	}
	if got := len(view.GetBody()); got != bodyBytes(i) {
		return i, fmt.Errorf("body of %d: expected %d bytes, got %d", i, bodyBytes(i), got)
	}
	if want := properties(i, digest(view.GetBody())); !maps.Equal(want, view.GetProperties()) {
		return i, fmt.Errorf("properties of %d: expected %v, got %v", i, want, view.GetProperties())
	}
	if tag := view.GetTag(); tag == nil || *tag != tags[i%len(tags)] {
		return i, fmt.Errorf("tag of %d: expected %s", i, tags[i%len(tags)])
	}
	if !slices.Equal(keys(i), view.GetKeys()) {
		return i, fmt.Errorf("keys of %d: expected %q, got %q", i, keys(i), view.GetKeys())
	}
	return i, nil
}

// bodyBytes is mostly small, with a tail: 1 in 10 is some KiB, 1 in 100 over 128 KiB, 1 in 1000
// the largest.
func bodyBytes(i int) int {
	switch {
	case i%1000 == 500:
		return largestBodyBytes
	case i%100 == 50:
		return 128<<10 + i
	case i%10 == 5:
		return 4096 + i%4096
	default:
		return 1 + i*7919%1024
	}
}

func keys(i int) []string {
	return []string{fmt.Sprintf("order-%d", i), fmt.Sprintf("订单-%d", i), fmt.Sprintf("part-%d", i%10)}
}

func properties(i int, digest string) map[string]string {
	result := map[string]string{
		"index":  strconv.Itoa(i),
		"sha256": digest,
		"text":   fmt.Sprintf("Grüße, 消息 🐦 %d", i),
		"ключ":   "значение",
	}
	if i%500 == 7 {
		for n := len(result); n < mostProperties; n++ {
			result[fmt.Sprintf("extra-%d", n)] = fmt.Sprintf("value-%d-%d", i, n)
		}
	}
	return result
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
