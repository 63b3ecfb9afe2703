//go:build !race

package openai

const spared = 0
