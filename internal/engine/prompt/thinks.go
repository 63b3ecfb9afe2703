package prompt

import "strings"

// Thinks tells whether a chat template knows thoughts. Only then is a server
// asked to look for them: the text of all other weights stays as it is.
func Thinks(template string) bool {
	for _, word := range []string{"reasoning_content", "enable_thinking", "thinking", "<think>", "[THINK]", "<|channel|>"} {
		if strings.Contains(template, word) {
			return true
		}
	}
	return false
}
