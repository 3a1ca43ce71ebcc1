package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	benchall "github.com/perwatt/perwatt/bench/all"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	"github.com/perwatt/perwatt/kernels/device"
	devices "github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/results"
)

// What was typed wrongly is answered with what was probably meant.

// unexpected is the error of an argument that a command does not take.
func unexpected(cmd *cobra.Command, arg string) error {
	hint := ""
	if cmd.HasAvailableSubCommands() {
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		hint = results.DidYouMean(arg, names)
	}
	if flag := asFlag(arg); hint == "" && flag != "" && (!cmd.HasParent() || cmd.Name() == "run" && cmd.Parent() == cmd.Root()) {
		hint = fmt.Sprintf("; did you mean perwatt run %s?", flag)
	}
	if cmd.HasAvailableSubCommands() {
		return fmt.Errorf("unknown command %q for %q%s", arg, cmd.CommandPath(), hint)
	}
	return fmt.Errorf("%s takes no argument %.120q%s", cmd.CommandPath(), arg, hint)
}

// miscounted is the error of another number of arguments than a command takes.
func miscounted(cmd *cobra.Command, n int) error {
	given := fmt.Sprintf("%d arguments were given", n)
	switch n {
	case 0:
		given = "no argument was given"
	case 1:
		given = "one argument was given"
	}
	return fmt.Errorf("%s: use %s", given, cmd.UseLine())
}

// asFlag is the flag of perwatt run that takes a word as its value, with the word, or
// with the known one next to it.
func asFlag(word string) string {
	var kinds []string
	for _, k := range powerall.Kinds() {
		kinds = append(kinds, k.Name)
	}
	name, _, _ := strings.Cut(word, "@")
	kind, _, isSpec := strings.Cut(word, ":")
	uses := append(benchall.Names(), "mullet", "mullet-shared")
	groups := []struct {
		flag  string
		known []string
	}{{"--uses", uses}, {"--preset", presetNames()}, {"--device", deviceWords(nil)}, {"--model", benchall.AllModels()}, {"--meter", kinds}}
	switch {
	case slices.Contains(uses, name):
		return results.Command("--uses", word)
	case isSpec && slices.Contains(kinds, kind):
		return results.Command("--meter", word)
	}
	for _, g := range groups {
		if slices.Contains(g.known, word) {
			return g.flag + " " + word
		}
	}
	for _, g := range groups {
		if near := results.Nearest(word, g.known); near != "" {
			return g.flag + " " + near
		}
	}
	return ""
}

// deviceWords are the words that --device takes, those of devices that are there too.
func deviceWords(there []device.Info) []string {
	words := devices.Names(there)
	if !slices.Contains(words, devices.GPUs) {
		words = append(words, devices.GPUs)
	}
	return words
}

// chosenDevices are the devices that --device names.
func chosenDevices(names string, there []device.Info) ([]device.Info, error) {
	on, err := devices.Select(names, there)
	if err == nil {
		return on, nil
	}
	hint := ""
	for name := range strings.SplitSeq(names, ",") {
		if words := deviceWords(there); hint == "" && !slices.Contains(words, name) {
			hint = results.DidYouMean(name, words)
		}
	}
	return nil, exit{exitUsage, fmt.Errorf("--device: %w%s", err, hint)}
}

// usesAreDevices refuses a device among the uses.
func usesAreDevices(uses []string, there []device.Info) error {
	for _, use := range uses {
		if slices.Contains(deviceWords(there), use) || strings.Contains(use, ":") && !strings.Contains(use, "@") {
			return usagef("--uses %.120q: this is a device, not a use: --device %s measures every use on it, and USE@DEVICE one use, as in mining@cpu or mining@cuda:0 (perwatt node lists the devices)", use, use)
		}
	}
	return nil
}

// badFlag is the error of flags that cannot be read, for [cobra.Command.SetFlagErrorFunc].
func badFlag(cmd *cobra.Command, err error) error {
	var (
		value   *pflag.InvalidValueError
		unknown *pflag.NotExistError
		empty   *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &value):
		err = fmt.Errorf("--%s %.120q: %w", value.GetFlag().Name, value.GetValue(), wanted(value.GetFlag(), value.Unwrap()))
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := results.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			err = fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	case errors.As(err, &empty):
		_, usage := pflag.UnquoteUsage(empty.GetFlag())
		usage, _, _ = strings.Cut(usage, "\n")
		err = fmt.Errorf("--%s needs a value: %s", empty.GetFlag().Name, usage)
	}
	return usagef("%w (see %s --help)", err, cmd.CommandPath())
}

// wanted says what a flag takes, where its error is one of a library that does not.
func wanted(f *pflag.Flag, err error) error {
	var number *strconv.NumError
	switch {
	case f.Value.Type() == "duration":
		return errors.New("must be a time, such as 500ms, 10s or 2m")
	case errors.Is(err, errKey):
		return err
	case f.Value.Type() == "stringToString":
		return errors.New("must be KEY=VALUE")
	case errors.As(err, &number) && errors.Is(err, strconv.ErrRange):
		return errors.New("must be a smaller number")
	case errors.As(err, &number) && f.Value.Type() == "uint32":
		return errors.New("must be a whole number from 0 to 4294967295")
	case errors.As(err, &number) && f.Value.Type() == "bool":
		return errors.New("must be true or false")
	case errors.As(err, &number) && strings.HasPrefix(f.Value.Type(), "float"):
		return errors.New("must be a number")
	case errors.As(err, &number):
		return errors.New("must be a whole number")
	}
	return err
}

// blankFlags refuses a flag whose value is blank, as an unset variable of a shell makes
// it: its default would measure everything, write to another store or leave out prices.
func blankFlags(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			if values = list.GetSlice(); len(values) == 0 {
				values = []string{""}
			}
		}
		if slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" }) {
			err = usagef("--%s: its value is blank: give one, or leave --%s out (see %s --help)", f.Name, f.Name, cmd.CommandPath())
		}
	})
	return err
}

// labelsVar adds the flag --label to fl.
func labelsVar(fl *pflag.FlagSet, to *map[string]string, usage string) {
	fl.StringToStringVar(to, "label", nil, usage)
	f := fl.Lookup("label")
	f.Value = keyed{f.Value, to}
}

var errKey = errors.New("the key is empty")

// keyed is a flag of KEY=VALUE whose keys are not blank.
type keyed struct {
	pflag.Value
	to *map[string]string
}

func (k keyed) Set(text string) error {
	if err := k.Value.Set(text); err != nil {
		return err
	}
	for key := range *k.to {
		if strings.TrimSpace(key) == "" {
			return errKey
		}
	}
	return nil
}

// once leaves out of a sentence the names that stand in it twice before what went wrong:
// --meter: meter "rapl": rapl: no zone is --meter: "rapl": no zone. Each room of the
// program names what it is about, and so do those that call it.
func once(sentence string) string {
	const names = 5 // that lead a sentence
	parts := strings.SplitN(sentence, ": ", names+1)
	out := parts[:1]
	for i, part := range parts[1:] {
		before := bare(out[len(out)-1])
		if rest, twice := strings.CutPrefix(part, before+" "); twice && strings.HasPrefix(out[len(out)-1], "--") {
			part = rest
		}
		name := bare(part)
		if last := i == len(parts)-2; !last && (name == before || strings.HasPrefix(before, name+":") || strings.HasPrefix(before, name+",")) {
			continue
		}
		out = append(out, part)
	}
	return strings.Join(out, ": ")
}

// bare is a name without quotes and the dashes of a flag.
func bare(name string) string { return strings.Trim(strings.TrimLeft(name, "-"), `"`) }
