{{- /* What the daemon does where it watches, and nothing else. In single namespaces a Role gives its own Namespace object, and no other. */ -}}
{{- define "modosu.rules" -}}
{{- $settings := .Values.settings }}
{{- $all := empty $settings.namespaces }}
{{- $acts := not $settings.readOnly }}
# guards belong to people: modosu answers in their status, and takes annotations down that it followed (modosu.dev/allow)
- apiGroups: [modosu.dev]
  resources: [guards]
  verbs: [get, list, watch{{ if $acts }}, patch{{ end }}]
# incidents are opened by modosu and decided by people; delete: those that are over for long (incidents.keep)
- apiGroups: [modosu.dev]
  resources: [incidents]
  verbs: [get, list, watch{{ if $acts }}, create, delete{{ end }}]
- apiGroups: [modosu.dev]
  resources: [guards/status, incidents/status]
  verbs: [patch]
# what is put back
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, watch{{ if $acts }}, patch{{ end }}]
# create: one that was deleted is put back too
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch{{ if $acts }}, create, patch{{ end }}]
# whether somebody stopped modosu in a whole namespace
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get{{ if $all }}, list, watch{{ end }}]
# whether a tool would put its own state back over what is put back; where these are not served nothing is asked of them
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [get]
- apiGroups: [kustomize.toolkit.fluxcd.io]
  resources: [kustomizations]
  verbs: [get]
- apiGroups: [helm.toolkit.fluxcd.io]
  resources: [helmreleases]
  verbs: [get]
# what is read to judge a roll-out
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get, list, watch]
# delete: one of the bad revision that never gets Ready holds its StatefulSet up, also when the template is back
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch{{ if $acts }}, delete{{ end }}]
# proven states: the last five of a guard are kept
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch{{ if $acts }}, create, patch, delete{{ end }}]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if $acts }}
# whether an autoscaler owns the number of pods that a step would set
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
{{- if .Values.secrets.enabled }}
# create: one that was deleted is put back; the content of proven states. delete: proven states beyond the last five
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if dig "steps" "job" false $settings }}
# who may write the ConfigMap of a template decides what runs: with this right that is a pod of any service account there
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end }}
{{- end }}
{{- end }}
