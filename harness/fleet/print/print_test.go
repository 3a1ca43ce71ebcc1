package print

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results/site"
)

// odd holds what a template, a shell, YAML or Kubernetes would interpret.
const odd = `--label=x={{ lookup('pipe','id') }} $(id) ${HOME} 'a' "b" \ #c: &d *e !f %g` + "\t`id`\nnext"

func roster() site.Roster {
	return site.Roster{Name: "20261130T120000Z", Args: []string{"--preset", "smoke", odd}, Limit: 601, Sessions: 1, Attempts: 1,
		Nodes: []site.Node{{Name: "n1", Rack: "R1"}, {Name: "root@10.0.0.2:2222"}, {Name: "2001:db8::4"}, {Name: "yes"}}}
}

func files(t *testing.T, b Bundle) (string, map[string]string) {
	dir := filepath.Join(t.TempDir(), "print")
	require.NoError(t, b.Write(dir))
	require.ErrorIs(t, b.Write(dir), os.ErrExist, "nothing is overwritten")
	out := map[string]string{}
	for _, f := range b.Files {
		got, err := os.ReadFile(filepath.Join(dir, f.Name))
		require.NoError(t, err)
		out[f.Name] = string(got)
	}
	return dir, out
}

func TestRefused(t *testing.T) {
	r := roster()
	_, err := New("puppet", r, Options{})
	require.ErrorContains(t, err, "must be one of ansible, k8s, sbatch")
	_, err = New("k8s", r, Options{})
	require.ErrorContains(t, err, "--image")
	r.Nodes = append(r.Nodes, site.Node{Name: "root_10.0.0.2_2222"})
	_, err = New("ansible", r, Options{Binary: "/p"})
	require.ErrorContains(t, err, "the same name in an inventory")
	r.Nodes = []site.Node{{Name: "n1:99999"}}
	_, err = New("ansible", r, Options{Binary: "/p"})
	require.ErrorContains(t, err, "no port")
	r.Options = []string{"--account=x"}
	_, err = New("ansible", r, Options{Binary: "/p"})
	require.ErrorContains(t, err, "no options after --")
}

// ansible-playbook parses the files, and the inventory gives the nodes back. If the
// environment has PERWATT_ANSIBLE, it runs them too, with this machine as a node, which
// takes it 20 s, and brings the records.
func TestAnsible(t *testing.T) {
	r := roster()
	perwatt := filepath.Join(t.TempDir(), "perwatt it's")
	require.NoError(t, os.WriteFile(perwatt, []byte("#!/bin/sh\n[ \"$5\" = --fleet ] || exit 9\nmkdir -p store/2026-11 && printf '%s' \"$4\" >store/2026-11/1.json && printf '%s' \"$6\" >store/2026-11/2.json\n"), 0o700)) // #nosec G306 -- a script
	b, err := New("ansible", r, Options{Binary: perwatt})
	require.NoError(t, err)
	dir, got := files(t, b)

	var inv struct {
		Perwatt struct {
			Hosts map[string]map[string]any `yaml:"hosts"`
		} `yaml:"perwatt"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(got["inventory.yml"]), &inv))
	require.Len(t, inv.Perwatt.Hosts, len(r.Nodes))
	require.Equal(t, map[string]any{"ansible_host": "10.0.0.2", "ansible_user": "root", "ansible_port": 2222, "perwatt_node": "root@10.0.0.2:2222"}, inv.Perwatt.Hosts["root_10.0.0.2_2222"])
	require.Equal(t, map[string]any{"ansible_host": "2001:db8::4", "perwatt_node": "2001:db8::4"}, inv.Perwatt.Hosts["2001_db8__4"])
	require.Equal(t, map[string]any{"ansible_host": "n1", "perwatt_node": "n1", "perwatt_rack": "R1"}, inv.Perwatt.Hosts["n1"])

	program := powertest.Peer(t, "ansible-playbook", "ansible-core")
	play := func(args ...string) ([]byte, error) {
		cmd := exec.Command(program, append([]string{"-i", "inventory.yml", "playbook.yml"}, args...)...) // #nosec G204 -- a test
		cmd.Dir = dir
		home := t.TempDir()
		cmd.Env = append(os.Environ(), "HOME="+home, "ANSIBLE_LOCAL_TEMP="+home, "ANSIBLE_REMOTE_TEMP="+home, "ANSIBLE_ASYNC_DIR="+home, "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8")
		return cmd.CombinedOutput()
	}
	out, err := play("--syntax-check")
	require.NoError(t, err, string(out))
	if os.Getenv("PERWATT_ANSIBLE") == "" {
		return
	}
	out, err = play("--limit", "root_10.0.0.2_2222", "-e", "ansible_connection=local")
	require.NoError(t, err, string(out))
	const n = "root@10.0.0.2:2222"
	arg, err := os.ReadFile(filepath.Join(dir, "records", n, "1.json"))
	require.NoError(t, err, string(out))
	require.Equal(t, odd, string(arg), "an argument arrives as it is")
	where, err := os.ReadFile(filepath.Join(dir, "records", n, "2.json"))
	require.NoError(t, err)
	require.Equal(t, "run=20261130T120000Z,node="+n+",attempt=1", string(where))
}

// The fields and types of a Job and all that it holds are those that Kubernetes publishes:
// testdata/job.json was made of the schema in k8s.io/client-go v0.34.1,
// applyconfigurations/internal (Apache License 2.0). A client's dry run asks a cluster.
func TestK8s(t *testing.T) {
	r := roster()
	r.Name = "Rack_1.b"
	b, err := New("k8s", r, Options{Image: "registry.example/perwatt:1"})
	require.NoError(t, err)
	_, got := files(t, b)
	var job map[string]any
	in := yaml.NewDecoder(strings.NewReader(got["job.yaml"]))
	require.NoError(t, in.Decode(&job))
	require.Error(t, in.Decode(&job), "one document")

	var types map[string]any
	published, err := os.ReadFile("testdata/job.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(published, &types))
	require.Empty(t, misfits(types, "#Job", job, "job"))

	// The check finds what a server refuses.
	for _, c := range []struct{ from, to, want string }{
		{"completionMode:", "completionsMode:", "job.spec.completionsMode"},
		{"restartPolicy: Never", "restartPolicy: [Never]", "job.spec.template.spec.restartPolicy"},
		{"fieldPath:", "path:", "valueFrom.fieldRef.path"},
		{"parallelism: 4", "parallelism: four", "job.spec.parallelism"},
	} {
		var bad map[string]any
		text := strings.Replace(got["job.yaml"], c.from, c.to, 1)
		require.NotEqual(t, text, got["job.yaml"])
		require.NoError(t, yaml.Unmarshal([]byte(text), &bad))
		require.Contains(t, strings.Join(misfits(types, "#Job", bad, "job"), "\n"), c.want)
	}

	var j struct {
		Metadata struct{ Name string }
		Spec     struct {
			CompletionMode           string `yaml:"completionMode"`
			Completions, Parallelism int
			Template                 struct {
				Spec struct {
					AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
					HostNetwork                  bool  `yaml:"hostNetwork"`
					Containers                   []struct {
						Command, Args   []string
						SecurityContext map[string]any `yaml:"securityContext"`
					}
					Affinity struct {
						NodeAffinity struct {
							Required struct {
								Terms []struct {
									Fields []struct{ Values []string } `yaml:"matchFields"`
								} `yaml:"nodeSelectorTerms"`
							} `yaml:"requiredDuringSchedulingIgnoredDuringExecution"`
						} `yaml:"nodeAffinity"`
						PodAntiAffinity struct {
							Required []map[string]any `yaml:"requiredDuringSchedulingIgnoredDuringExecution"`
						} `yaml:"podAntiAffinity"`
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(got["job.yaml"]), &j))
	require.Equal(t, "perwatt-rack-1-b", j.Metadata.Name)
	require.Equal(t, "Indexed", j.Spec.CompletionMode)
	require.Equal(t, 4, j.Spec.Completions)
	require.Equal(t, 4, j.Spec.Parallelism)
	pod := j.Spec.Template.Spec
	require.False(t, *pod.AutomountServiceAccountToken)
	require.NotContains(t, got["job.yaml"], "privileged")
	require.Len(t, pod.Affinity.PodAntiAffinity.Required, 1)
	require.Equal(t, "kubernetes.io/hostname", pod.Affinity.PodAntiAffinity.Required[0]["topologyKey"])
	var names []string
	for _, term := range pod.Affinity.NodeAffinity.Required.Terms {
		require.Len(t, term.Fields, 1)
		require.Len(t, term.Fields[0].Values, 1, "a server takes one name a term")
		names = append(names, term.Fields[0].Values...)
	}
	require.Equal(t, []string{"n1", "root@10.0.0.2:2222", "2001:db8::4", "yes"}, names)

	// The pod's shell runs perwatt with its arguments, once Kubernetes has expanded them,
	// and its standard output is the record alone.
	c := pod.Containers[0]
	require.NotContains(t, strings.ReplaceAll(strings.Join(c.Args, " "), "$$(", ""), "$(", "nothing for Kubernetes to expand")
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "perwatt"), []byte("#!/bin/sh\necho words >&2\nprintf '%s\\n' \"$@\"\nexit 3\n"), 0o700)) // #nosec G306 -- a script
	message := filepath.Join(bin, "message")
	script := strings.ReplaceAll(c.Command[2], "/dev/termination-log", message)
	cmd := exec.Command(c.Command[0], append([]string{c.Command[1], script, c.Command[3]}, c.Args...)...) // #nosec G204 -- a test
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "PERWATT_NODE=n 1"}
	out, err := cmd.Output()
	require.NoError(t, err, "a pod always succeeds")
	require.Equal(t, "run\n--preset\nsmoke\n"+strings.ReplaceAll(odd, "$(", "$$(")+"\n--fleet\nrun=Rack_1.b,node=n 1,attempt=1\n--store\n/perwatt\n--format\njson\n", string(out))
	said, err := os.ReadFile(message)
	require.NoError(t, err)
	require.Equal(t, "words\nperwatt ended with code 3\n", string(said))
	require.NoError(t, exec.Command("sh", "-n", "-c", got["records.sh"]).Run())
}

// misfits lists the fields of a value that its type does not have, or has as another type.
func misfits(types map[string]any, of any, v any, path string) (bad []string) {
	if name, ok := of.(string); ok && strings.HasPrefix(name, "#") {
		of = types[name[1:]]
	}
	wrong := []string{fmt.Sprintf("%s: %T where %v belongs", path, v, of)}
	switch of := of.(type) {
	case map[string]any:
		m, ok := v.(map[string]any)
		if !ok {
			return wrong
		}
		for key, value := range m {
			field, known := of[key]
			if !known {
				field, known = of["*"]
			}
			if !known {
				bad = append(bad, path+"."+key+": no such field")
				continue
			}
			bad = append(bad, misfits(types, field, value, path+"."+key)...)
		}
		return bad
	case []any:
		list, ok := v.([]any)
		if !ok {
			return wrong
		}
		for i, value := range list {
			bad = append(bad, misfits(types, of[0], value, fmt.Sprintf("%s[%d]", path, i))...)
		}
		return bad
	case string:
		fits := true
		switch v.(type) {
		case string:
			fits = of == "string" || of == "untyped"
		case int:
			fits = of == "numeric" || of == "untyped"
		case bool:
			fits = of == "boolean"
		default:
			fits = false
		}
		if fits {
			return nil
		}
	}
	return wrong
}

// The scripts as a shell runs them, with an sbatch that shows what it was given.
func TestSbatch(t *testing.T) {
	r := roster()
	r.Options = []string{"--account=it's", "--comment=$(id)"}
	dir := filepath.Join(t.TempDir(), "it's here")
	require.NoError(t, os.Mkdir(dir, 0o700))
	b, err := New("sbatch", r, Options{Dir: filepath.Join(dir, "print"), Binary: "/p/perwatt", Node: "${NODE}", Script: func(binary, dir string, args []string) string {
		return "#!/bin/sh\n# " + strings.ReplaceAll(strings.Join(append([]string{binary, dir}, args...), "|"), "\n", " ") + "\n"
	}})
	require.NoError(t, err)
	require.NoError(t, b.Write(filepath.Join(dir, "print")))
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "sbatch"), []byte("#!/bin/sh\nprintf '%s|' \"$@\"\necho\ncat\n"), 0o700)) // #nosec G306 -- a script
	cmd := exec.Command(filepath.Join(dir, "print", "submit.sh"))                                                                // #nosec G204 -- a test
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin"}
	out, err := cmd.Output()
	require.NoError(t, err)
	var want bytes.Buffer
	for _, n := range r.Nodes {
		want.WriteString("--account=it's|--comment=$(id)|-w|" + n.Name + "|--output=log-%N|node.sbatch|\n")
	}
	require.Equal(t, want.String(), string(out))

	script, err := os.ReadFile(filepath.Join(dir, "print", "node.sbatch"))
	require.NoError(t, err)
	lines := strings.Split(string(script), "\n")
	require.Equal(t, "#!/bin/sh", lines[0])
	require.Contains(t, lines, "#SBATCH --nodes=1 --ntasks=1 --exclusive --mem=0 --no-requeue")
	require.Contains(t, lines, "#SBATCH --time=11", "minutes, rounded up")
	require.Contains(t, string(script), "|--fleet|run=20261130T120000Z,node=${NODE},attempt=1")
	run := exec.Command(filepath.Join(dir, "print", "node.sbatch")) // #nosec G204 -- a test
	run.Env = []string{"NODE=n7"}
	require.NoError(t, run.Run())
	require.DirExists(t, filepath.Join(dir, "print", "records", "n7"))
}
