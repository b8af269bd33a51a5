package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// Refusal is what a server says of a call that failed: beside gRPC's status, messages of google.rpc.
type Refusal struct {
	Status     *status.Status
	Reason     string        // a stable word of Graftscope's that programs can rely on
	Field      string        // of the request, where one is to blame
	RetryAfter time.Duration // when the same call may succeed, where the server said so
}

// RefusalOf finds what a server said of a failed call; ok is false for other errors.
func RefusalOf(err error) (refusal Refusal, ok bool) {
	told, ok := status.FromError(err)
	if !ok {
		return refusal, false
	}
	refusal.Status = told
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			refusal.Reason = detail.GetReason()
		case *errdetails.BadRequest:
			if fields := detail.GetFieldViolations(); len(fields) > 0 {
				refusal.Field = fields[0].GetField()
			}
		case *errdetails.RetryInfo:
			refusal.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return refusal, true
}

// Line is an error in one line for people.
func Line(err error) string {
	refusal, ok := RefusalOf(err)
	if !ok {
		return err.Error()
	}
	facts := []string{refusal.Status.Code().String()}
	if refusal.Reason != "" {
		facts = append(facts, refusal.Reason)
	}
	if refusal.Field != "" {
		facts = append(facts, "field "+refusal.Field)
	}
	if refusal.RetryAfter > 0 {
		facts = append(facts, "try again in "+refusal.RetryAfter.String())
	}
	return fmt.Sprintf("%s (%s)", refusal.Status.Message(), strings.Join(facts, ", "))
}
