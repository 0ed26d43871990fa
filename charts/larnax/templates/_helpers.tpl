{{- define "larnax.name" -}}
{{- if contains "larnax" .Release.Name }}{{ .Release.Name | trunc 50 }}{{ else }}{{ printf "%s-larnax" .Release.Name | trunc 50 }}{{ end -}}
{{- end }}

{{- /* Labels of a part: (list . "hub") */ -}}
{{- define "larnax.selector" -}}
app.kubernetes.io/name: larnax
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "larnax.labels" -}}
{{ include "larnax.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{- /* A program's image: (list . "larnax-edge") */ -}}
{{- define "larnax.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.repository }}/{{ index . 1 }}:{{ default $root.Chart.AppVersion $root.Values.image.tag }}
{{- end }}

{{- define "larnax.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "larnax.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "larnax.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Who tokens of agents beside applications are for */ -}}
{{- define "larnax.audience" -}}
{{ include "larnax.name" . }}.{{ .Release.Namespace }}
{{- end }}
