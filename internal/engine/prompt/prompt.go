// Package prompt turns conversations into what chat servers take, so that the
// engines that speak to such servers do it the same way.
//
// What a caller wrote never becomes a control token: servers parse special tokens
// in any text they are given, so a Guard breaks their strings first. Turns writes
// messages and tools in the form of OpenAI's chat completions, with every text
// cleaned; PrefixOf tells which prompts begin alike.
package prompt
