{{/* Labels of everything. */}}
{{- define "zerohop.labels" -}}
app.kubernetes.io/part-of: zerohop
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What selects the pods of one component; never changes. */}}
{{- define "zerohop.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* The security contexts that the Pod Security Standard "restricted" asks for, and a read-only disk. */}}
{{- define "zerohop.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}
{{- define "zerohop.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "zerohop.image" -}}
{{ .repository }}:{{ .tag }}
{{- end }}

{{- define "zerohop.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The agent's cluster, as Istio names it. */}}
{{- define "zerohop.istioAgentCluster" -}}
outbound|9002||zerohop-agent.{{ .Release.Namespace }}.svc.cluster.local
{{- end }}

{{/* The pools, as the filter's configuration names them. */}}
{{- define "zerohop.pools" -}}
{{- $pools := list }}
{{- range .Values.pools }}
{{- $pools = append $pools (dict "name" (printf "%s/%s" $.Release.Namespace .)) }}
{{- end }}
{{- toJson $pools }}
{{- end }}
