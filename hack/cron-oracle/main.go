// SPDX-License-Identifier: Apache-2.0

// Answers each line "EXPRESSION \t ZONE \t UNIX-TIME" of standard input with the next time the expression means, as
// Kubernetes' CronJob computes it: a Unix time, "never", or "refused".
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

func answer(line string) string {
	parts := strings.Split(line, "\t")
	if len(parts) != 3 {
		return "refused"
	}
	after, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return "refused"
	}
	schedule, err := cron.ParseStandard("TZ=" + parts[1] + " " + parts[0])
	if err != nil {
		return "refused"
	}
	found := make(chan time.Time, 1)
	go func() { found <- schedule.Next(time.Unix(after, 0)) }()
	select {
	case next := <-found:
		if next.IsZero() {
			return "never"
		}
		return strconv.FormatInt(next.Unix(), 10)
	case <-time.After(5 * time.Second): // it does not come over a day that a zone leaves out
		return "endless"
	}
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		fmt.Fprintln(out, answer(in.Text()))
	}
}
