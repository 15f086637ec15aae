// Calls Bedrock with Go's own net/http and crypto/tls: `client ENDPOINT AUTHORITY h1|h2`. Speaks the protocol described
// in ../protocol.py; a goroutine for every call that may be under way.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
)

type call struct {
	ID        int               `json:"id"`
	Operation string            `json:"operation"`
	Model     string            `json:"model"`
	Body      json.RawMessage   `json:"body"`
	Headers   map[string]string `json:"headers"`
	Take      int               `json:"take"`
}

type batch struct {
	Calls   []call `json:"calls"`
	Threads int    `json:"threads"`
}

type seen struct {
	ID         int             `json:"id"`
	RequestID  string          `json:"request_id,omitempty"`
	Status     int             `json:"status,omitempty"`
	Events     int             `json:"events"`
	Text       string          `json:"text"`
	StopReason string          `json:"stop_reason,omitempty"`
	Usage      json.RawMessage `json:"usage,omitempty"`
	Body       json.RawMessage `json:"body,omitempty"`
	Error      string          `json:"error,omitempty"`
	Message    string          `json:"message,omitempty"`
}

// Event of a stream, whichever operation and body family it is of.
type event struct {
	ContentBlockDelta struct{ Delta struct{ Text string } }
	Delta             struct {
		Text       string
		StopReason string `json:"stop_reason"`
	}
	OutputText       string
	MessageStop      struct{ StopReason string }
	CompletionReason string
	Metadata         struct{ Usage json.RawMessage }
}

type answer struct {
	Output struct {
		Message struct{ Content []struct{ Text string } }
	}
	StopReason string
	Usage      json.RawMessage
	Message    string
}

var paths = map[string]string{
	"Converse":                      "converse",
	"ConverseStream":                "converse-stream",
	"InvokeModel":                   "invoke",
	"InvokeModelWithResponseStream": "invoke-with-response-stream",
}

var printing sync.Mutex

func main() {
	endpoint, authority, version := os.Args[1], os.Args[2], os.Args[3]
	pem, err := os.ReadFile(authority)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		panic("no certificate in " + authority)
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:   version == "h2",
		MaxIdleConnsPerHost: 1000,
	}
	if version == "h1" {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	client := &http.Client{Transport: transport}
	say(map[string]int{"ready": os.Getpid()})
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var todo batch
		if err := json.Unmarshal(line, &todo); err != nil {
			panic(err)
		}
		run(client, endpoint, todo)
		say(map[string]bool{"done": true})
	}
}

func run(client *http.Client, endpoint string, todo batch) {
	waiting := make(chan call)
	var workers sync.WaitGroup
	for i := 0; i < todo.Threads || i == 0; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for call := range waiting {
				saw := seen{ID: call.ID}
				if err := saw.make(client, endpoint, call); err != nil {
					saw.Error, saw.Message = "Incomplete", err.Error()
				}
				say(saw)
			}
		}()
	}
	for _, call := range todo.Calls {
		waiting <- call
	}
	close(waiting)
	workers.Wait()
}

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func (saw *seen) make(client *http.Client, endpoint string, call call) error {
	model := strings.ReplaceAll(url.QueryEscape(call.Model), "+", "%20")
	path := fmt.Sprintf("%s/model/%s/%s", endpoint, model, paths[call.Operation])
	request, err := http.NewRequest("POST", path, bytes.NewReader(call.Body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer bedrock-api-key-that-nobody-may-store")
	// Without this line the transport asks for gzip.
	request.Header.Set("Accept-Encoding", "identity")
	for name, value := range call.Headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	saw.Status = response.StatusCode
	saw.RequestID = response.Header.Get("X-Amzn-Requestid")
	if response.Header.Get("Content-Type") == "application/vnd.amazon.eventstream" {
		return saw.stream(response.Body, call.Take)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var said answer
	if call.Operation == "Converse" || saw.Status != 200 {
		if err := json.Unmarshal(body, &said); err != nil {
			return err
		}
	}
	saw.Body = body
	if saw.Status != 200 {
		saw.Error, _, _ = strings.Cut(response.Header.Get("X-Amzn-Errortype"), ":")
		saw.Message = said.Message
		return nil
	}
	for _, block := range said.Output.Message.Content {
		saw.Text += block.Text
	}
	saw.StopReason, saw.Usage = said.StopReason, said.Usage
	return nil
}

// Reads application/vnd.amazon.eventstream; checksums are not looked at.
func (saw *seen) stream(body io.Reader, take int) error {
	for {
		var prelude [12]byte
		if _, err := io.ReadFull(body, prelude[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		frame := make([]byte, binary.BigEndian.Uint32(prelude[:])-12)
		if _, err := io.ReadFull(body, frame); err != nil {
			return err
		}
		headersLength := binary.BigEndian.Uint32(prelude[4:])
		saw.Events++
		if err := saw.frame(frame[:headersLength], frame[headersLength:len(frame)-4]); err != nil {
			return err
		}
		if saw.Events == take {
			return nil
		}
	}
}

func (saw *seen) frame(rest, payload []byte) error {
	headers := map[string]string{}
	for len(rest) > 0 {
		name := rest[1 : 1+rest[0]]
		rest = rest[1+len(name):]
		length := binary.BigEndian.Uint16(rest[1:])
		headers[string(name)] = string(rest[3 : 3+length])
		rest = rest[3+length:]
	}
	if headers[":message-type"] == "exception" {
		var said answer
		saw.Error = headers[":exception-type"]
		err := json.Unmarshal(payload, &said)
		saw.Message = said.Message
		return err
	}
	kind := headers[":event-type"]
	if kind == "chunk" {
		var chunk struct{ Bytes []byte }
		if err := json.Unmarshal(payload, &chunk); err != nil {
			return nil // a broken frame is passed over
		}
		payload = chunk.Bytes
	} else {
		payload = []byte(fmt.Sprintf("{%q:%s}", kind, payload))
	}
	var said event
	if err := json.Unmarshal(payload, &said); err != nil {
		return nil
	}
	saw.Text += said.ContentBlockDelta.Delta.Text + said.Delta.Text + said.OutputText
	for _, reason := range []string{said.MessageStop.StopReason, said.Delta.StopReason, said.CompletionReason} {
		if reason != "" {
			saw.StopReason = reason
		}
	}
	if said.Metadata.Usage != nil {
		saw.Usage = said.Metadata.Usage
	}
	return nil
}
