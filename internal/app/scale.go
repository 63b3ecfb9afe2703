package app

import (
	"errors"
	"fmt"
	"time"
)

// Defaults of Engine.
const (
	defaultIdleSleep  = 10 * time.Minute
	defaultIdleUnload = time.Hour
)

// scale fills and checks what says how many processes models have, and for how long.
func (e *Engine) scale() error {
	if e.IdleSleep == nil {
		e.IdleSleep = new(defaultIdleSleep)
	}
	if e.IdleUnload == nil {
		e.IdleUnload = new(defaultIdleUnload)
	}
	if *e.IdleSleep < 0 || *e.IdleSleep > 0 && *e.IdleSleep < time.Second {
		return errors.New("engine: idle_sleep must be at least 1s, or 0 for never")
	}
	if *e.IdleUnload < 0 {
		return errors.New("engine: idle_unload must not be negative; 0 is never")
	}
	if e.Replicas < 0 || e.Replicas > 64 {
		return errors.New("engine: replicas must be 0 to 64; 0 is as many as have cores")
	}
	if e.KVTokens < 0 {
		return errors.New("engine: kv_tokens must not be negative; 0 gives each slot a whole context")
	}
	return nil
}

// idle is how long a model without a request stays awake, and stays at all; what was
// left out of a configuration without defaults is never.
func (e *Engine) idle() (sleep, unload time.Duration) {
	if e.IdleSleep != nil {
		sleep = *e.IdleSleep
	}
	if e.IdleUnload != nil {
		unload = *e.IdleUnload
	}
	return sleep, unload
}

// checkWeights refuses names of weights that the catalogue does not know: known
// tells.
func (e *Engine) checkWeights(known func(id string) bool) error {
	for key, ids := range map[string][]string{"pin": e.Pin, "preload": e.Preload} {
		for _, id := range ids {
			if !known(id) {
				return fmt.Errorf("engine: %s: the catalogue has no weights %q", key, id)
			}
		}
	}
	return nil
}
