{{- /* Everything is called after the release; a release called modosu gives what deploy/base gives. */ -}}
{{- define "modosu.name" -}}
{{- if contains "modosu" .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ else }}{{ printf "%s-modosu" .Release.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "modosu.selector" -}}
app.kubernetes.io/name: modosu
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "modosu.labels" -}}
{{ include "modosu.selector" . }}
app.kubernetes.io/part-of: modosu
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The settings, with the lease called after the release where they name none. */ -}}
{{- define "modosu.settings" -}}
{{- $named := dict "leaderElection" (dict "leaseName" (include "modosu.name" .)) }}
{{- mergeOverwrite $named (deepCopy .Values.settings) | toYaml }}
{{- end }}

{{- define "modosu.git" -}}
{{- if dig "steps" "git" false .Values.settings }}yes{{ end }}
{{- end }}

{{- define "modosu.subjects" -}}
- {kind: ServiceAccount, name: {{ include "modosu.name" . }}, namespace: {{ .Release.Namespace }}}
{{- end }}
