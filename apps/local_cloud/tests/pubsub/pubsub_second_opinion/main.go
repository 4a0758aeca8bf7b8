// Google's own in-memory Pub/Sub, listening on the port of this machine that the first argument names.
package main

import (
	"log"
	"os"
	"strconv"

	"cloud.google.com/go/pubsub/v2/pstest"
)

func main() {
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := pstest.NewServerWithPort(port)
	defer server.Close()
	log.Print("listening on ", server.Addr)
	select {}
}
