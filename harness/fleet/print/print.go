// Package print writes what measures a fleet in a site's own way: an inventory and a
// playbook for Ansible, a Job for Kubernetes, scripts for sbatch. The roster is frozen as
// for an engine; the site starts the jobs, and their records come to perwatt fleet collect
// by hand. Nothing is started here, and a job that failed is the site's to repeat.
package print

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// Kinds are what [New] writes.
var Kinds = []string{"ansible", "k8s", "sbatch"}

// Options are what a kind needs besides the roster.
type Options struct {
	Binary string // perwatt, an absolute path: for ansible, and for sbatch on a shared file system
	Image  string // for k8s: a container image with perwatt and /bin/sh
	Dir    string // absolute; where the files will be and records come
	// Script returns the commands of a job of sbatch, in which Node stands for the name of
	// its node: slurm.Script and slurm.NodeName.
	Script func(binary, dir string, args []string) string
	Node   string
}

// Bundle are files, and the commands that come next.
type Bundle struct {
	Files []File
	Next  []string // for a POSIX shell in the directory of the files
}

// File is one of a bundle.
type File struct {
	Name, Text string
	Mode       os.FileMode
}

// New makes the files of a kind. Options of the roster are those of sbatch; the other
// kinds take none.
func New(kind string, r site.Roster, o Options) (Bundle, error) {
	if len(r.Options) > 0 && kind != "sbatch" {
		return Bundle{}, fmt.Errorf("print %s: %s: it takes no options after --", kind, results.Command(r.Options...))
	}
	switch kind {
	case "ansible":
		return ansible(r, o)
	case "k8s":
		return k8s(r, o)
	case "sbatch":
		return sbatch(r, o)
	}
	return Bundle{}, fmt.Errorf("print %q: must be one of %s", kind, strings.Join(Kinds, ", "))
}

// Write writes the files to a new directory.
func (b Bundle) Write(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil { // #nosec G301 -- others of the site may read it
		return fmt.Errorf("print: %w", err)
	}
	for _, f := range b.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), []byte(f.Text), f.Mode); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

// place is the value of perwatt run --fleet.
func place(r site.Roster, node string) string {
	return "run=" + r.Name + ",node=" + node + ",attempt=1"
}

// text fills in a template. A JSON string is one of YAML, too.
func text(of string, data any) (string, error) {
	t, err := template.New("").Funcs(template.FuncMap{"json": func(v any) (string, error) {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		err := enc.Encode(v)
		return strings.TrimSpace(b.String()), err
	}}).Parse(of)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, data)
	return b.String(), err
}

const inventory = `# The nodes of {{.Name}}. Written by perwatt fleet run --print ansible.
perwatt:
  hosts:
{{- range .Hosts}}
    {{json .Key}}: {ansible_host: {{json .Host}}, perwatt_node: {{json .Node}}
    {{- if .User}}, ansible_user: {{json .User}}{{end}}
    {{- if .Port}}, ansible_port: {{.Port}}{{end}}
    {{- if .Rack}}, perwatt_rack: !unsafe {{json .Rack}}{{end}}}
{{- end}}
`

// The playbook keeps the binary and the records of a node in its user's cache. Home
// directories may be shared, so that the node's name is part of the path.
const playbook = `# Measures each node of {{.Name}} once and brings its records. Written by perwatt fleet
# run --print ansible. How many nodes measure at a time is ansible-playbook's --forks.
- hosts: perwatt
  gather_facts: false
  strategy: free
  vars:
    perwatt_dir: "{{"{{ perwatt_home.stdout }}"}}/.cache/perwatt/fleet/{{.Name}}/{{"{{ perwatt_node }}"}}"
  tasks:
    - name: Find the home directory
      ansible.builtin.command: pwd
      register: perwatt_home
      changed_when: false
    - name: Make a directory for the measurement
      ansible.builtin.file:
        path: "{{"{{ perwatt_dir }}"}}/store"
        state: directory
        mode: "0700"
    - name: Copy perwatt
      ansible.builtin.copy:
        src: !unsafe {{json .Binary}}
        dest: "{{"{{ perwatt_dir }}"}}/perwatt"
        mode: "0700"
    - name: Measure
      block:
        - name: Run perwatt
          ansible.builtin.shell: # command would expand variables in arguments
            chdir: "{{"{{ perwatt_dir }}"}}"
            cmd: !unsafe {{json .Script}}
          environment: {PERWATT_NODE: "{{"{{ perwatt_node }}"}}"}
          async: {{.Limit}} # s
          poll: 5
      always:
        - name: List the records
          ansible.builtin.find:
            paths: "{{"{{ perwatt_dir }}"}}/store"
            patterns: ["*.json", "*.json.zst"]
            excludes: ["*.partial.json"]
            recurse: true
          register: perwatt_records
        - name: Bring the records
          ansible.builtin.fetch:
            src: "{{"{{ item.path }}"}}"
            dest: "records/{{"{{ perwatt_node }}"}}/"
            flat: true
          loop: "{{"{{ perwatt_records.files }}"}}"
          loop_control:
            label: "{{"{{ item.path | basename }}"}}"
`

func ansible(r site.Roster, o Options) (Bundle, error) {
	type host struct{ Key, Node, Host, User, Port, Rack string }
	var hosts []host
	seen := map[string]string{}
	for _, n := range r.Nodes {
		h := host{Key: strings.NewReplacer("@", "_", ":", "_", "%", "_", "+", "_").Replace(n.Name), Node: n.Name, Host: n.Name, Rack: n.Rack}
		if was := seen[h.Key]; was != "" {
			return Bundle{}, fmt.Errorf("print ansible: %s and %s have the same name in an inventory: give one an alias in ~/.ssh/config", was, n.Name)
		}
		seen[h.Key] = n.Name
		if user, rest, ok := strings.Cut(h.Host, "@"); ok {
			h.User, h.Host = user, rest
		}
		if to, port, ok := strings.Cut(h.Host, ":"); ok && !strings.Contains(port, ":") {
			if _, err := strconv.ParseUint(port, 10, 16); err != nil {
				return Bundle{}, fmt.Errorf("print ansible: %s: %q is no port", n.Name, port)
			}
			h.Host, h.Port = to, port
		}
		hosts = append(hosts, h)
	}
	data := struct {
		Name, Binary string
		Script       string
		Hosts        []host
		Limit        int
	}{r.Name, o.Binary, results.Command(append([]string{"./perwatt", "run"}, r.Args...)...) + ` --fleet "` + place(r, "$PERWATT_NODE") + `" --store store`, hosts, int(math.Ceil(r.Limit))}
	inv, err := text(inventory, data)
	book, bad := text(playbook, data)
	return Bundle{
		Files: []File{{"inventory.yml", inv, 0o644}, {"playbook.yml", book, 0o644}},
		Next:  []string{"ansible-playbook -i inventory.yml --forks 16 playbook.yml", collect(o)},
	}, errors.Join(err, bad)
}

// collect names the measurement by its directory, which needs no --store.
func collect(o Options) string {
	return results.Command("perwatt", "fleet", "collect", filepath.Dir(o.Dir), "records")
}

// The pod runs a shell, since perwatt prints its record to standard output and all else to
// standard error, which a pod's log would mix.
const job = `# Measures each of {{len .Nodes}} nodes once. Written by perwatt fleet run --print k8s; not yet run
# on a cluster. An Indexed Job needs Kubernetes 1.21.
apiVersion: batch/v1
kind: Job
metadata:
  name: {{json .Object}}
  labels: {app.kubernetes.io/name: perwatt}
spec:
  completionMode: Indexed
  completions: {{len .Nodes}}
  # All pods at once: while they measure, no node can get a second one. A pod that waits
  # for a busy node may still be placed on one that has finished; perwatt fleet collect
  # names the node that is missing then.
  parallelism: {{len .Nodes}}
  # A pod always succeeds: its record decides, and what it says is in its termination
  # message. These are for pods that are lost with their nodes.
  backoffLimit: {{len .Nodes}}
  template:
    metadata:
      labels: {app.kubernetes.io/name: perwatt, perwatt/run: {{json .Label}}}
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      affinity:
        nodeAffinity: # the frozen roster; a term takes one name
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
{{- range .Nodes}}
              - matchFields: [{key: metadata.name, operator: In, values: [{{json .Name}}]}]
{{- end}}
        # The whole node, whatever its size: no pod but those of DaemonSets, which alone
        # have this label, may be on it, and none may come while this one runs. So one pod
        # a node, too. Pods of the node itself (static pods) have no such label: a node
        # with any is not measured, which holds for most control planes.
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - topologyKey: kubernetes.io/hostname
              namespaceSelector: {}
              labelSelector:
                matchExpressions:
                  - {key: pod-template-generation, operator: DoesNotExist}
      containers:
        - name: perwatt
          image: {{json .Image}}
          env:
            - name: PERWATT_NODE
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
          command: ["/bin/sh", "-c", {{json .Script}}, "perwatt"]
          args:
{{- range .Args}}
            - {{json .}}
{{- end}}
          terminationMessagePolicy: FallbackToLogsOnError
          # Requests only: the pod has the node to itself by the rule above, and a limit
          # would throttle it. Of the memory, so much is what perwatt needs itself.
          resources:
            requests: {cpu: "1", memory: 1Gi}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: store, mountPath: /perwatt}
      volumes:
        - name: store
          emptyDir: {}
`

// logs fetches each pod's log, which is its record. The kubelet cuts logs at
// containerLogMaxSize, 10 MiB by default: a record of hours is longer.
const logs = `#!/bin/sh
# Brings the records of the Job: each pod's log is one. Written by perwatt fleet run --print k8s.
cd "$(dirname "$0")" && mkdir -p records || exit
kubectl get pods -l perwatt/run=%s --field-selector=status.phase=Succeeded -o name | while read -r pod; do
	kubectl logs "$pod" >"records/${pod#pod/}.json"
done
`

func k8s(r site.Roster, o Options) (Bundle, error) {
	if o.Image == "" {
		return Bundle{}, errors.New("print k8s: name the container image that has perwatt and /bin/sh (--image)")
	}
	label := strings.Trim(strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(r.Name)), "-")
	if len(label) > 54 {
		label = strings.Trim(label[:54], "-") // an object's name has at most 63
	}
	var args []string
	for _, a := range append([]string{"run"}, r.Args...) {
		args = append(args, strings.ReplaceAll(a, "$(", "$$(")) // $(NAME) is a variable to Kubernetes
	}
	script := `perwatt "$@" --fleet "` + place(r, "$PERWATT_NODE") + `" --store /perwatt --format json 2>/dev/termination-log || echo "perwatt ended with code $?" >>/dev/termination-log`
	job, err := text(job, struct {
		Object, Label, Image, Script string
		Nodes                        []site.Node
		Args                         []string
	}{"perwatt-" + label, label, o.Image, script, r.Nodes, args})
	return Bundle{
		Files: []File{{"job.yaml", job, 0o644}, {"records.sh", fmt.Sprintf(logs, label), 0o755}},
		Next:  []string{"kubectl apply -f job.yaml", "kubectl wait --for=condition=complete --timeout=-1s job/perwatt-" + label, "./records.sh", collect(o)},
	}, err
}

func sbatch(r site.Roster, o Options) (Bundle, error) {
	dir := filepath.Join(o.Dir, "records", o.Node)
	script := o.Script(o.Binary, dir, append(append([]string{"run"}, r.Args...), "--fleet", place(r, o.Node)))
	first, rest, _ := strings.Cut(script, "\n")
	minutes := int(math.Ceil(time.Duration(r.Limit * float64(time.Second)).Minutes()))
	script = fmt.Sprintf(`%s
# Measures one node of %s. Written by perwatt fleet run --print sbatch.
#SBATCH --job-name=perwatt:%s
#SBATCH --nodes=1 --ntasks=1 --exclusive --mem=0 --no-requeue
#SBATCH --time=%d
#SBATCH --open-mode=append
mkdir -p %s
%s`, first, r.Name, r.Name, minutes, strings.ReplaceAll(results.Command(dir), o.Node, `'"`+o.Node+`"'`), rest)
	var nodes strings.Builder
	for _, n := range r.Nodes {
		nodes.WriteString(n.Name + "\n")
	}
	submit := "#!/bin/sh\n# Submits one job a node. Written by perwatt fleet run --print sbatch.\ncd \"$(dirname \"$0\")\" || exit\nwhile read -r node; do\n\tsbatch " +
		strings.TrimLeft(results.Command(r.Options...)+" ", " ") + "-w \"$node\" --output=log-%N node.sbatch </dev/null || exit\ndone <nodes\n"
	return Bundle{
		Files: []File{{"node.sbatch", script, 0o755}, {"nodes", nodes.String(), 0o644}, {"submit.sh", submit, 0o755}},
		Next:  []string{"./submit.sh", "squeue -n perwatt:" + r.Name, collect(o)},
	}, nil
}
